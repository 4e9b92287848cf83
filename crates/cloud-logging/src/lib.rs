//! Reads the GKE audit log from Cloud Logging.
