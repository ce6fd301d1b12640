//! Metric handles and logs.
