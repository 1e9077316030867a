//! The client over TLS, against a server whose certificate a test's own authority signed.
//!
//! The certificates in `fixtures/` are valid until 2126, for 127.0.0.1, localhost and service.test.

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::{Client, Deadlines, NetError, Request};
use crate::config::NetConfig;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/net/fixtures/ca.pem");

/// A server over TLS that offers `alpn` and says which version it was asked in.
async fn server(alpn: &[u8]) -> Result<(String, AbortOnDropHandle<()>)> {
    let certificate = CertificateDer::from_pem_slice(include_bytes!("fixtures/server.pem"))?;
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("fixtures/server.key"))?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}/", listener.local_addr()?);
    let h2 = alpn == b"h2";
    let task = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            let service = service_fn(|request: hyper::Request<_>| async move {
                let version: Version = request.version();
                let _: hyper::body::Incoming = request.into_body();
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{version:?}")))))
            });
            let io = TokioIo::new(stream);
            // The client's going away is how a connection ends here.
            let _ = match h2 {
                true => {
                    hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
                }
                false => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
            };
        }
    });
    Ok((url, AbortOnDropHandle::new(task)))
}

async fn ask(ca_file: Option<&str>, url: &str) -> std::result::Result<String, NetError> {
    let client = Client::new(&NetConfig { ca_file: ca_file.map(PathBuf::from) })?;
    let deadlines = Deadlines { connect: Duration::from_secs(20), response: Duration::from_secs(20) };
    let request: Request = hyper::Request::get(url).body(Full::default()).expect("a request");
    let body = client.send(request, deadlines).await?.into_body();
    Ok(String::from_utf8_lossy(&body.collect().await.expect("a body").to_bytes()).into_owned())
}

#[tokio::test]
async fn the_certificate_in_ca_file_is_believed_and_the_version_negotiated() -> Result {
    for (alpn, version) in [(&b"h2"[..], "HTTP/2.0"), (b"http/1.1", "HTTP/1.1")] {
        let (url, _server) = server(alpn).await?;
        assert_eq!(ask(Some(CA), &url).await?, version);
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_refused() -> Result {
    let (url, _server) = server(b"http/1.1").await?;
    let error = ask(None, &url).await.expect_err("an unknown authority");
    assert!(matches!(error, NetError::Connect { .. }) && error.to_string().contains("certificate"), "{error}");
    Ok(())
}
