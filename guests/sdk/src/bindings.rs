//! What `wit-bindgen` makes of `wit/`: for what the typed layer does not cover.

#![allow(missing_docs, reason = "generated from the WIT files, whose own docs it carries where they have some")]

/// The world `tool-plugin` with every capability. An import that is not used is dropped when the
/// component is made, so that none has to be asked for here.
pub mod tools {
    wit_bindgen::generate!({
        world: "tool-host",
        path: "wit",
        pub_export_macro: true,
        default_bindings_module: "exoclaw_guest::bindings::tools",
        runtime_path: "exoclaw_guest::wit_bindgen::rt",
    });
}

/// The world `channel-plugin`.
pub mod channels {
    wit_bindgen::generate!({
        world: "channel-plugin",
        path: "wit",
        pub_export_macro: true,
        default_bindings_module: "exoclaw_guest::bindings::channels",
        runtime_path: "exoclaw_guest::wit_bindgen::rt",
        with: {
            "exoclaw:plugin/types@0.1.0": super::tools::exoclaw::plugin::types,
            "exoclaw:plugin/logging@0.1.0": super::tools::exoclaw::plugin::logging,
        },
    });
}

pub use tools::exoclaw::plugin::logging;
pub use tools::exoclaw::plugin::types::{Error, Header, Request, Response};
