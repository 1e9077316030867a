//! One outgoing HTTP stack for the process.
