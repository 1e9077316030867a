//! `files`: what users sent and what tools made, held by the host and read in pieces.

use crate::runtime::bindings::files::{File, FileError, Host};
use crate::runtime::state::State;

impl Host for State {
    async fn stat(&mut self, _id: String) -> Result<File, FileError> {
        Err(FileError::NotFound)
    }

    async fn read(&mut self, _id: String, _offset: u64, _length: u32) -> Result<Vec<u8>, FileError> {
        Err(FileError::NotFound)
    }

    async fn create(&mut self, _name: String, _mime_type: String) -> Result<String, FileError> {
        Err(FileError::NotFound)
    }

    async fn append(&mut self, _id: String, _data: Vec<u8>) -> Result<(), FileError> {
        Err(FileError::NotFound)
    }
}
