use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

const OUR_HOST: &str = "127.0.0.1:4711";

fn expected() -> Expected {
    Expected { host: OUR_HOST.to_owned(), state: Secret::new("st".to_owned()) }
}

fn get(target: &str) -> Request<()> {
    Request::builder().uri(target).header("Host", OUR_HOST).body(()).unwrap()
}

fn outcome(request: &Request<()>) -> String {
    match read(request, &expected()) {
        Err(status) => status.as_u16().to_string(),
        Ok(Ok(code)) => format!("code {}", code.expose()),
        Ok(Err(redirect)) => format!("{}: {}", redirect.error, redirect.description),
    }
}

#[test]
fn read_query_without_our_state_rejected() {
    for (target, expected) in [
        ("/oauth/callback?code=a%2Fb%3D&state=st", "code a/b="),
        ("/oauth/callback?state=st&code=c&more=1", "code c"),
        ("/oauth/callback?code=c&state=ST", "400"),
        ("/oauth/callback?code=c&state=s", "400"),
        ("/oauth/callback?code=c&state=stt", "400"),
        ("/oauth/callback?code=c&state=st&state=st", "400"),
        ("/oauth/callback?code=c&code=d&state=st", "400"),
        ("/oauth/callback?code=&state=st", "400"),
        ("/oauth/callback?code=%FF&state=st", "400"),
        ("/oauth/callback?state=st", "400"),
        ("/oauth/callback?code=c", "400"),
        ("/oauth/callback", "400"),
        ("/oauth/callback/?code=c&state=st", "404"),
        ("http://127.0.0.1:4711/oauth/callback?code=c&state=st", "404"),
        ("/favicon.ico", "404"),
        ("/", "404"),
        (
            "/oauth/callback?error=access_denied&error_description=no+%1B%5B31mway&state=st",
            "access_denied: no \\u{1b}[31mway",
        ),
        ("/oauth/callback?error=access_denied&state=other", "400"),
        ("/oauth/callback?error=x&code=c&state=st", "400"),
    ] {
        assert_eq!(outcome(&get(target)), expected, "{target}");
    }
}

#[test]
fn read_other_method_or_host_rejected() {
    let target = "/oauth/callback?code=c&state=st";
    let with_hosts = |method: &str, hosts: &[&str]| {
        let request = Request::builder().method(method).uri(target);
        hosts.iter().fold(request, |request, host| request.header("Host", *host)).body(()).unwrap()
    };
    for (method, hosts, expected) in [
        ("GET", &[OUR_HOST][..], "code c"),
        ("POST", &[OUR_HOST], "404"),
        ("HEAD", &[OUR_HOST], "404"),
        ("GET", &["evil.example:4711"], "400"),
        ("GET", &["localhost:4711"], "400"),
        ("GET", &["127.0.0.1"], "400"),
        ("GET", &[], "400"),
        ("GET", &[OUR_HOST, OUR_HOST], "400"),
    ] {
        assert_eq!(outcome(&with_hosts(method, hosts)), expected, "{method} {hosts:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn accept_error_is_retried_after_a_pause() {
    let (mut tries, begin) = (0, tokio::time::Instant::now());
    let connection = accept(|| {
        tries += 1;
        let too_many = io::Error::from_raw_os_error(24); // EMFILE
        std::future::ready(if tries <= 20 { Err(too_many) } else { Ok("connection") })
    });
    assert_eq!((connection.await, begin.elapsed(), tries), ("connection", Duration::from_secs(1), 21));
}

async fn call(address: SocketAddr, request: String) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    response
}

#[tokio::test]
async fn wait_ends_at_the_redirect_only() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = tokio::spawn(async move { wait(listener, &Secret::new("st".to_owned())).await });
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let silent = TcpStream::connect(address).await.unwrap();
    for (request, status) in [
        (request("/"), "404"),
        (request("/oauth/callback?code=c&state=wrong"), "400"),
        (request("/oauth/callback?code=c&state=st").replace("HTTP/1.1", "HTTP/9"), "400"),
        (format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(MAX_HEAD)), "431"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(MAX_HEADERS + 1)), "431"),
        ("\u{1}\u{2}\r\n\r\n".to_owned(), "400"),
    ] {
        let response = call(address, request.clone()).await;
        assert!(response.starts_with(&format!("HTTP/1.1 {status} ")), "{request:.40}: {response}");
    }
    let answered = tokio::spawn(call(address, request("/oauth/callback?code=c&state=st")));
    let redirect = waiting.await.unwrap().unwrap();
    assert_eq!(redirect.outcome.as_ref().unwrap().expose(), "c");
    assert!(TcpStream::connect(address).await.is_err(), "the listener is closed");
    redirect.respond("It is <done>", "Close this \"tab\".");
    let page = answered.await.unwrap();
    assert!(page.contains("<h1>It is &lt;done&gt;</h1><p>Close this &quot;tab&quot;.</p>"), "{page}");
    assert!(page.contains("connection: close\r\n") && page.contains("cache-control: no-store\r\n"), "{page}");
    drop(silent);
}

/// Fault matrix row 125.
#[tokio::test]
async fn wait_oldest_connections_make_room_for_the_browser() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let waiting = tokio::spawn(async move { wait(listener, &Secret::new("st".to_owned())).await });
    let mut half_open = Vec::new();
    for _ in 0..=MAX_CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        half_open.push(stream);
    }
    let answered =
        tokio::spawn(call(address, format!("GET {PATH}?code=c&state=st HTTP/1.1\r\nHost: {address}\r\n\r\n")));
    // The first ones are closed before they have timed out: the wait ends, although all places are taken.
    let redirect = waiting.await.unwrap().unwrap();
    let mut rest = Vec::new();
    let closed = half_open[0].read_to_end(&mut rest).await;
    assert!(closed.is_err() || rest.is_empty(), "{rest:?}");
    redirect.respond("title", "text");
    assert!(answered.await.unwrap().starts_with("HTTP/1.1 200 "));
}
