//! Any JSON.
