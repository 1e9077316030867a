//! The key of a folder, and what it vouches for.

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::entry::{Entry, HEADER, MAC, MAGIC};
use super::error::CacheError;
use super::folder::{Folder, ReadError};

/// Its file.
const NAME: &str = "key";

/// Its length in bytes: that of the hash, as RFC 2104, section 3, recommends.
const LENGTH: usize = 32;

/// What tells our files from all others.
pub(super) struct Key(hmac::Key);

impl Key {
    /// The folder's key; a new one where it has none. Of two processes that make one at once, both
    /// get the one that was there first.
    pub(super) fn obtain(folder: &Folder) -> Result<Self, CacheError> {
        let path = || folder.path().join(NAME);
        let unfit = |why: &str| CacheError::Key { path: path(), why: why.to_owned() };
        for _ in 0..2 {
            match folder.read(NAME, LENGTH as u64) {
                Ok(key) => {
                    let key = Zeroizing::new(key);
                    let length = || unfit(&format!("it has {} bytes instead of {LENGTH}", key.len()));
                    return key.first_chunk().filter(|_| key.len() == LENGTH).map(Self::new).ok_or_else(length);
                }
                Err(ReadError::Absent) => {}
                Err(ReadError::Unfit(why)) => return Err(unfit(&why)),
                Err(ReadError::Io(error)) => return Err(unfit(&error.to_string())),
            }
            let mut key = Zeroizing::new([0; LENGTH]);
            getrandom::fill(&mut *key).map_err(|error| unfit(&format!("no randomness to make it of: {error}")))?;
            folder.publish(NAME, &[&*key]).map_err(|error| CacheError::Write { path: path(), error })?;
        }
        Err(unfit("it does not stay where it was put"))
    }

    pub(super) fn new(key: &[u8; LENGTH]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// What stands before the code in the file of an entry.
    pub(super) fn header(&self, entry: &Entry, code: &[u8]) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        let (magic, mac) = header.split_at_mut(MAGIC.len());
        magic.copy_from_slice(MAGIC);
        mac.copy_from_slice(&self.mac(entry, code));
        header
    }

    /// The code of a file, if it was written with this key and for this entry.
    pub(super) fn verify(&self, entry: &Entry, file: Vec<u8>) -> Option<Verified> {
        let (header, code) = file.split_at_checked(HEADER)?;
        let (magic, mac) = header.split_at_checked(MAGIC.len())?;
        let genuine = magic == MAGIC && bool::from(mac.ct_eq(&self.mac(entry, code)));
        genuine.then_some(Verified(file))
    }

    /// HMAC-SHA-256 (RFC 2104) over parts of fixed length, and the code with its length before it.
    fn mac(&self, entry: &Entry, code: &[u8]) -> [u8; MAC] {
        let mut mac = hmac::Context::with_key(&self.0);
        mac.update(MAGIC);
        mac.update(&entry.component);
        mac.update(&entry.engine.0);
        mac.update(&(code.len() as u64).to_le_bytes());
        mac.update(code);
        let mut bytes = [0; MAC];
        bytes.copy_from_slice(mac.sign().as_ref());
        bytes
    }
}

/// A file that was read whole and whose HMAC is right. There is no other way to get one than
/// [`Key::verify`].
pub(super) struct Verified(Vec<u8>);

impl Verified {
    pub(super) fn code(&self) -> &[u8] {
        self.0.get(HEADER..).unwrap_or_default()
    }

    /// In bytes, without what stands before it.
    pub(super) fn size(&self) -> u64 {
        self.code().len() as u64
    }
}
