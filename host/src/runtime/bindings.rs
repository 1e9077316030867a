//! What `bindgen!` makes of `wit/`: the types and calls of both worlds.
//!
//! No capability can be granted yet, so `tool-plugin` is bound, not `tool-host`: what is not
//! bound can't be linked.

#![allow(missing_docs, reason = "generated from the WIT files, whose own docs it carries where they have some")]
#![allow(unreachable_pub, reason = "generated")]

mod tools {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "tool-plugin",
        exports: { default: async },
        additional_derives: [PartialEq],
    });
}

mod channels {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "channel-plugin",
        exports: { default: async },
        // One log and one set of shared types for both worlds.
        with: {
            "exoclaw:plugin/logging": super::tools::exoclaw::plugin::logging,
            "exoclaw:plugin/types": super::tools::exoclaw::plugin::types,
        },
        additional_derives: [PartialEq],
    });
}

pub(super) use channels::ChannelPluginPre;
/// The interface `channel`.
pub use channels::exports::exoclaw::plugin::channel;
pub(super) use tools::ToolPluginPre;
pub(super) use tools::exoclaw::plugin::logging;
/// The interface `types`.
pub use tools::exoclaw::plugin::types;
/// The interface `tool`.
pub use tools::exports::exoclaw::plugin::tool;
