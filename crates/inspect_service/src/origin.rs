//! Keeping web pages away: a browser may be made by any page to send requests to a loopback port.

use crate::refusal::Refusal;
use crate::service::Service;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::header::HeaderName;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use std::sync::Arc;

/// Names of this machine that no other machine's name server decides about.
const LOOPBACK: &[&str] = &["127.0.0.1", "[::1]", "localhost"];

/// What browsers say of where a request comes from.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// A header of our own, which no form and no link can send, and a script of another site only after it was allowed to: it never is.
const OPERATOR: HeaderName = HeaderName::from_static("rootplex-operator");

pub(crate) async fn check(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    match foreign(request.headers(), service.is_tcp, changes) {
        Some(why) => Refusal::new(StatusCode::FORBIDDEN, why).into_response(),
        None => next.run(request).await,
    }
}

/// Why a request is not answered: it was sent by a page of another site, or under a name that leads here by that site's doing.
fn foreign(headers: &HeaderMap, is_tcp: bool, changes: bool) -> Option<&'static str> {
    let text = |name: HeaderName| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("unreadable"))
    };
    let host = text(header::HOST);
    if is_tcp && !host.is_some_and(|host| LOOPBACK.contains(&without_port(host))) {
        return Some("Host names no loopback address");
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin.strip_prefix("http://") != host
    {
        return Some("Origin is another site");
    }
    if !matches!(text(FETCH_SITE), None | Some("same-origin" | "none")) {
        return Some("the request comes from another site");
    }
    (is_tcp && changes && !headers.contains_key(OPERATOR))
        .then_some("over TCP, what changes something needs the header Rootplex-Operator")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(headers: &[(&'static str, &str)], is_tcp: bool) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        foreign(&map, is_tcp, false).is_none()
    }

    #[test]
    fn a_loopback_host_is_answered() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9000",
            "localhost:9000",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(answered(&[("host", host)], true), "{host}");
        }
    }

    #[test]
    fn a_name_that_was_bent_to_here_is_not() {
        for host in [
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost:evil",
            "",
        ] {
            assert!(!answered(&[("host", host)], true), "{host}");
        }
        assert!(!answered(&[], true));
        // Whoever may open the socket file asks under any name.
        assert!(answered(&[("host", "rootplex")], false));
    }

    #[test]
    fn a_page_of_another_site_is_not() {
        let host = ("host", "localhost:9000");
        assert!(answered(&[host, ("origin", "http://localhost:9000")], true));
        assert!(!answered(
            &[host, ("origin", "http://localhost:9001")],
            true
        ));
        assert!(!answered(&[host, ("origin", "https://evil.example")], true));
        assert!(!answered(&[host, ("origin", "null")], true));
        assert!(!answered(&[host, ("sec-fetch-site", "cross-site")], true));
        assert!(answered(&[host, ("sec-fetch-site", "none")], true));
    }

    #[test]
    fn a_change_over_tcp_says_that_it_is_meant() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:9000".parse().unwrap());
        assert!(foreign(&headers, true, false).is_none());
        assert!(foreign(&headers, false, true).is_none());
        assert_eq!(
            foreign(&headers, true, true),
            Some("over TCP, what changes something needs the header Rootplex-Operator")
        );
        headers.insert(OPERATOR, "page".parse().unwrap());
        assert!(foreign(&headers, true, true).is_none());
    }
}
