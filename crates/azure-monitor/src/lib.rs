//! Reads the AKS audit log from Log Analytics.
