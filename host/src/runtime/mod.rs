//! Plugins: WebAssembly components, each call in a fresh instance.
