//! The log.

pub use crate::bindings::logging::Level;

/// Writes a line to the gateway's log, which names the plugin and the call. Long lines are cut, and
/// what is too much is dropped. In a native test it goes to standard error.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::logging::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}

/// Writes a line to the gateway's log: `log!(Warn, "the answer had {} bytes", length)`.
#[macro_export]
macro_rules! log {
    ($level:ident, $($text:tt)+) => {
        $crate::log($crate::Level::$level, &::std::format!($($text)+))
    };
}
