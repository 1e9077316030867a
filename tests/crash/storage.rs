//! What the gateway does when its disk does not.
