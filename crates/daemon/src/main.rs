//! Watches the Kubernetes API of EKS, GKE and AKS for reconnaissance, by the audit logs that the clouds already keep.

#[cfg(test)]
mod config;

fn main() {}
