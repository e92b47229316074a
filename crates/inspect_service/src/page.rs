//! The page for browsers: files that are part of the program. Nothing is built, and nothing is fetched from elsewhere.

use crate::refusal::Refusal;
use axum::Router;
use axum::extract::Path;
use axum::http::HeaderName;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct File {
    name: &'static str,
    media_type: &'static str,
    text: &'static str,
}

const INDEX: File = File {
    name: "index.html",
    media_type: HTML,
    text: include_str!("page/index.html"),
};

macro_rules! files {
    ($($name:literal: $media_type:expr,)*) => {
        /// What the page is made of, below `/page/`.
        const FILES: &[File] = &[$(File {
            name: $name,
            media_type: $media_type,
            text: include_str!(concat!("page/", $name)),
        }),*];
    };
}

files! {
    "style.css": CSS,
    "icon.svg": SVG,
    "main.js": SCRIPT,
    "server.js": SCRIPT,
    "words.js": SCRIPT,
    "elements.js": SCRIPT,
    "drawing.js": SCRIPT,
    "panel.js": SCRIPT,
    "registers.js": SCRIPT,
    "operations.js": SCRIPT,
    "timeline.js": SCRIPT,
}

/// The browser takes nothing from elsewhere, runs no script that stands in a document, shows the page in no frame, tells no one where it
/// was, and asks again each time: another version of the program may listen at the same port next.
const HEADERS: [(HeaderName, &str); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
];

pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/", get(async || answer(&INDEX)))
        .route("/page/{file}", get(file))
}

async fn file(Path(name): Path<String>) -> Result<Response, Refusal> {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => Ok(answer(file)),
        None => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("the page has no '{name}'"),
        )),
    }
}

fn answer(file: &File) -> Response {
    (
        [(header::CONTENT_TYPE, file.media_type)],
        HEADERS,
        file.text,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_is_referred_to_is_there() {
        let texts = FILES.iter().chain([&INDEX]);
        let mut referred = 0;
        for file in texts {
            let quoted = file.text.split('"').skip(1).step_by(2);
            for name in quoted.filter_map(|text| {
                text.strip_prefix("/page/")
                    .or_else(|| text.strip_prefix("./"))
            }) {
                referred += 1;
                assert!(
                    FILES.iter().any(|file| file.name == name),
                    "{}: {name}",
                    file.name
                );
            }
        }
        assert!(
            referred >= FILES.len(),
            "each file is referred to: {referred}"
        );
    }

    #[test]
    fn no_file_makes_markup_out_of_text_or_refers_to_elsewhere() {
        // A namespace is a name, and nothing is fetched from there.
        const NAMESPACE: &str = "http://www.w3.org/2000/svg";
        for file in FILES.iter().chain([&INDEX]) {
            let text = file.text.replace(NAMESPACE, "");
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "://",
                " style=",
                "onclick=",
            ] {
                assert!(!text.contains(word), "{}: {word}", file.name);
            }
        }
    }
}
