//! `exoclaw gateway`.

use super::{CliError, GatewayArgs};
use crate::config::Loaded;

/// Runs the gateway until it is told to stop.
///
/// # Errors
/// It could not start, or not go on.
pub async fn run(args: GatewayArgs, mut loaded: Loaded) -> Result<(), CliError> {
    args.apply(&mut loaded.config);
    Err(CliError::failed("this build has no gateway"))
}
