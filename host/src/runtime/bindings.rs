//! What `bindgen!` makes of `wit/`: the types and calls of both worlds.
//!
//! Every capability is bound; which of them a plugin is linked to, its grants decide.

#![allow(missing_docs, reason = "generated from the WIT files, whose own docs it carries where they have some")]
#![allow(unreachable_pub, reason = "generated")]

mod tools {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "tool-host",
        imports: {
            "exoclaw:plugin/store": async,
            "exoclaw:plugin/memory": async,
            "exoclaw:plugin/files": async,
        },
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
pub(super) use tools::ToolHostPre;
/// The interface `types`.
pub use tools::exoclaw::plugin::types;
pub(super) use tools::exoclaw::plugin::{files, logging, memory, progress, store};
/// The interface `tool`.
pub use tools::exports::exoclaw::plugin::tool;
