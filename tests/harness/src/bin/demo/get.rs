//! The request of `kubectl get pods`, for machines without kubectl: one GET over TLS that trusts only the CA of the
//! cluster.

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rolecall_harness::ApiServer;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// Returns namespaces and names of all pods, one per line.
pub(crate) fn pods(server: &ApiServer, token: &str) -> Result<String, Box<dyn Error>> {
    let response = get(server, "/api/v1/pods", token)?;
    let (head, body) = response.split_once("\r\n\r\n").ok_or("the response has no end of its head")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(head.lines().next().unwrap_or_default().into());
    }
    let list: serde_json::Value = serde_json::from_str(body)?;
    let items = list["items"].as_array().ok_or("the response has no items")?;
    let line = |pod: &serde_json::Value| {
        let meta = &pod["metadata"];
        format!(
            "{:<12} {}\n",
            meta["namespace"].as_str().unwrap_or_default(),
            meta["name"].as_str().unwrap_or_default()
        )
    };
    Ok(format!("{:<12} NAME\n{}", "NAMESPACE", items.iter().map(line).collect::<String>()))
}

fn get(server: &ApiServer, path: &str, token: &str) -> Result<String, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(server.ca_pem().as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("127.0.0.1")?)?;
    let socket = TcpStream::connect(server.addr())?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut stream = StreamOwned::new(connection, socket);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n\r\n"
    )?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    Ok(response)
}
