//! Whom TLS believes: the system's root certificates and the owner's.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::OnceCell;

use super::NetError;
use super::error::reason;

/// The most that a certificate file may hold. Debian's whole bundle has a quarter of a megabyte.
const MAX_CA_FILE: u64 = 16 << 20;

/// The TLS configuration of the process, made when the first connection needs it: the system's
/// certificates take tens of milliseconds to read, and a gateway may be ready without them.
pub(super) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    config: OnceCell<Arc<ClientConfig>>,
}

impl Trust {
    /// Reads the owner's file, at once, so that a mistake in it shows at start.
    pub(super) fn new(ca_file: Option<&Path>) -> Result<Self, NetError> {
        let extra = ca_file.map(read_ca_file).transpose()?.unwrap_or_default();
        Ok(Self { extra, config: OnceCell::new() })
    }

    /// The configuration. The first caller has the system's certificates read, off the async
    /// threads; callers beside it wait for the same. A failure is tried again by the next.
    pub(super) async fn config(&self) -> Result<Arc<ClientConfig>, NetError> {
        let load = || async {
            let extra = self.extra.clone();
            let loading = tokio::task::spawn_blocking(move || load(&extra));
            loading.await.unwrap_or_else(|error| Err(NetError::NoRoots { reason: reason(&error) }))
        };
        self.config.get_or_try_init(load).await.map(Arc::clone)
    }
}

fn read_ca_file(path: &Path) -> Result<Vec<CertificateDer<'static>>, NetError> {
    let error = |reason: String| NetError::CaFile { path: path.to_owned(), reason };
    let mut pem = Vec::new();
    let file = File::open(path).map_err(|io| error(reason(&io)))?;
    file.take(MAX_CA_FILE + 1).read_to_end(&mut pem).map_err(|io| error(reason(&io)))?;
    if pem.len() as u64 > MAX_CA_FILE {
        return Err(error(format!("it is larger than {} MiB", MAX_CA_FILE >> 20)));
    }
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|pem| error(reason(&pem)))?;
    if certificates.is_empty() {
        return Err(error("it holds no certificate".into()));
    }
    let mut roots = RootCertStore::empty();
    for (index, certificate) in certificates.iter().enumerate() {
        let number = index + 1;
        roots.add(certificate.clone()).map_err(|tls| error(format!("certificate {number}: {}", reason(&tls))))?;
    }
    Ok(certificates)
}

fn load(extra: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, NetError> {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(reason = %reason(error), "a system certificate could not be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(system.certs.into_iter().chain(extra.iter().cloned()));
    tracing::debug!(added, ignored, "root certificates loaded");
    if roots.is_empty() {
        let reason = system.errors.first().map_or_else(|| "the system has none".to_owned(), |error| reason(error));
        return Err(NetError::NoRoots { reason });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NetError::NoRoots { reason: reason(&error) })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_by_name() -> Result<(), std::io::Error> {
        let mut file = tempfile::NamedTempFile::new()?;
        for (content, reason) in [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\n!\n", "")] {
            file.write_all(content.as_bytes())?;
            let Err(error) = Trust::new(Some(file.path())) else { panic!("`{content}` was believed") };
            let text = error.to_string();
            assert!(text.contains(&file.path().display().to_string()) && text.contains(reason), "{text}");
        }
        let Err(error) = Trust::new(Some(Path::new("/no/such.pem"))) else { panic!("it was found") };
        assert!(error.to_string().contains("/no/such.pem"), "{error}");
        Ok(())
    }
}
