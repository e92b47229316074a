//! What is served under which path.

use crate::Operation;
use crate::OperationError;
use crate::Outcome;
use crate::follow;
use crate::lspci::Dump;
use crate::metrics::Exposition;
use crate::metrics::Format;
use crate::page;
use crate::refusal::Refusal;
use crate::service::Service;
use crate::tables;
use crate::topology::Drawing;
use crate::walk::WalkError;
use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::Query;
use axum::extract::State;
use axum::extract::rejection::PathRejection;
use axum::extract::rejection::QueryRejection;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use axum::response::Response;
use axum::routing::get;
use axum::routing::post;
use http_body_util::BodyExt;
use http_body_util::LengthLimitError;
use http_body_util::Limited;
use inspect::Error;
use inspect::Node;
use pcie_topology::EndpointSpec;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

type Shared = State<Arc<Service>>;
type Answer = Result<Response, Refusal>;

pub(crate) fn router(service: Arc<Service>) -> Router {
    // A browser reaches no Unix socket.
    let page = match service.is_tcp {
        true => page::router(),
        false => Router::new(),
    };
    Router::new()
        .merge(page)
        .route("/inspect", get(inspect_root).put(update_root))
        .route("/inspect/", get(inspect_root).put(update_root))
        .route("/inspect/{*path}", get(inspect_node).put(update_node))
        .route("/events", get(follow::events))
        .route("/metrics", get(metrics))
        .route("/topology", get(topology))
        .route("/lspci", get(lspci))
        .route("/registers", get(registers))
        .route("/ports/{port}/plug", post(plug))
        .route("/ports/{port}/unplug", post(unplug))
        .route("/ports/{port}/request-removal", post(request_removal))
        .route("/ports/{port}/button", post(button))
        .route("/ports/{port}/latch", post(latch))
        .route("/ports/{port}/power-fault", post(power_fault))
        .route("/state", get(save).put(restore))
        .fallback(async || {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "there are /inspect, /events, /metrics, /topology, /lspci, /registers, /ports/NAME/… and /state",
            )
        })
        .method_not_allowed_fallback(async || {
            Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "this path does not take this method",
            )
        })
        .layer(middleware::from_fn_with_state(
            service.clone(),
            crate::origin::check,
        ))
        .with_state(service)
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum View {
    Json,
    Text,
    Svg,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InspectQuery {
    depth: Option<usize>,
    format: Option<View>,
}

/// No parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Bare {}

fn query<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Refusal> {
    query
        .map(|Query(query)| query)
        .map_err(|rejection| Refusal::bad_request(rejection.body_text()))
}

fn path(path: Result<Path<String>, PathRejection>) -> Result<String, Refusal> {
    path.map(|Path(path)| path)
        .map_err(|rejection| Refusal::bad_request(rejection.body_text()))
}

/// The body, if it is no longer than `max` bytes and comes in time.
async fn body(service: &Service, body: Body, max: usize) -> Result<Vec<u8>, Refusal> {
    let read = tokio::time::timeout(service.limits.request, Limited::new(body, max).collect());
    match read.await {
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not come in time",
        )),
        Ok(Ok(body)) => Ok(body.to_bytes().into()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request's body is longer than {max} bytes"),
        )),
        Ok(Err(error)) => Err(Refusal::bad_request(error.to_string())),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Refusal> {
    String::from_utf8(bytes).map_err(|_| Refusal::bad_request("the request's body is no UTF-8"))
}

async fn inspect_root(
    state: Shared,
    parameters: Result<Query<InspectQuery>, QueryRejection>,
) -> Answer {
    inspect_at(state, String::new(), query(parameters)?).await
}

async fn inspect_node(
    state: Shared,
    at: Result<Path<String>, PathRejection>,
    parameters: Result<Query<InspectQuery>, QueryRejection>,
) -> Answer {
    inspect_at(state, path(at)?, query(parameters)?).await
}

async fn inspect_at(State(service): Shared, path: String, query: InspectQuery) -> Answer {
    let depth_max = service.limits.depth;
    let depth = query.depth.unwrap_or(depth_max);
    if depth > depth_max {
        return Err(Refusal::bad_request(format!(
            "depth is {depth}; at most {depth_max} levels are shown at once"
        ))
        .with("depth_max", depth_max));
    }
    let format = query.format.unwrap_or(View::Json);
    if format == View::Svg {
        return Err(Refusal::bad_request("format is json or text here"));
    }
    let answer_bytes = service.limits.answer_bytes;
    let walked = service.walk(path.clone(), depth).await?;
    let node = match walked {
        Ok(node) => node,
        Err(WalkError::TooLarge) => {
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "'{path}' to depth {depth} is longer than {answer_bytes} bytes: ask for fewer levels or a longer path"
                ),
            ));
        }
        Err(WalkError::Cancelled) => return Err(late()),
    };
    if let Node::Failed(error) = node {
        return Err(failed(&service, path, error).await?);
    }
    Ok(match format {
        View::Text => (
            [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
            format!("{node:#}\n"),
        )
            .into_response(),
        View::Json | View::Svg => (
            [(header::CONTENT_TYPE, "application/json")],
            format!("{:#}\n", node.json()),
        )
            .into_response(),
    })
}

async fn update_root(
    state: Shared,
    parameters: Result<Query<Bare>, QueryRejection>,
    value: Body,
) -> Answer {
    query(parameters)?;
    update_at(state, String::new(), value).await
}

async fn update_node(
    state: Shared,
    at: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Bare>, QueryRejection>,
    value: Body,
) -> Answer {
    query(parameters)?;
    update_at(state, path(at)?, value).await
}

async fn update_at(State(service): Shared, path: String, value: Body) -> Answer {
    let value = text(body(&service, value, service.limits.value_bytes).await?)?;
    let at = path.clone();
    let updated = service
        .call(move |source| source.update(&at, value.trim_end_matches('\n')))
        .await?;
    match updated {
        Ok(value) => {
            let value = Node::Value(value);
            let body = format!(
                "{{\"path\": {}, \"value\": {}}}\n",
                json!(path),
                value.json()
            );
            Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
        }
        Err(error) => Err(failed(&service, path, error).await?),
    }
}

/// What to answer where inspection says no.
async fn failed(service: &Service, path: String, error: Error) -> Result<Refusal, Refusal> {
    Ok(match error {
        Error::NotFound | Error::NotADirectory => {
            let (known, names) = service.known_prefix(path.clone()).await?;
            Refusal::new(
                StatusCode::NOT_FOUND,
                match known.as_str() {
                    "" => format!("there is no '{path}'"),
                    known => format!("there is no '{path}'; the path is known as far as '{known}'"),
                },
            )
            .with("known", known)
            .with("children", names)
        }
        Error::Immutable => Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("'{path}' can be looked at and not changed"),
        ),
        Error::Update(reason) => Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("'{path}': {reason}"),
        ),
        Error::Unresolved => late(),
        Error::Mesh(_) | Error::Internal => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("'{path}': {error}"),
        ),
    })
}

/// The answer did not come in time.
pub(crate) fn late() -> Refusal {
    Refusal::new(
        StatusCode::GATEWAY_TIMEOUT,
        "what was asked for did not answer in time",
    )
}

async fn metrics(
    State(service): Shared,
    headers: HeaderMap,
    parameters: Result<Query<Bare>, QueryRejection>,
) -> Answer {
    query(parameters)?;
    let accepted = headers
        .get(header::ACCEPT)
        .and_then(|accepted| accepted.to_str().ok())
        .unwrap_or("");
    let format = Format::preferred(accepted);
    let families = service.call(|source| source.metrics()).await?;
    let text = Exposition(&families, format).to_string();
    Ok(([(header::CONTENT_TYPE, format.media_type())], text).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TopologyQuery {
    format: Option<View>,
}

async fn topology(
    State(service): Shared,
    headers: HeaderMap,
    parameters: Result<Query<TopologyQuery>, QueryRejection>,
) -> Answer {
    let prefers_svg = headers
        .get(header::ACCEPT)
        .is_some_and(|accepted| accepted.as_bytes().starts_with(b"image/svg+xml"));
    let format = match query(parameters)?.format {
        Some(View::Text) => return Err(Refusal::bad_request("format is json or svg here")),
        Some(format) => format,
        None if prefers_svg => View::Svg,
        None => View::Json,
    };
    let topology = service.call(|source| source.topology()).await?;
    Ok(match format {
        View::Svg => (
            [(header::CONTENT_TYPE, "image/svg+xml")],
            Drawing(&topology).to_string(),
        )
            .into_response(),
        View::Json | View::Text => Json(topology).into_response(),
    })
}

async fn lspci(State(service): Shared, parameters: Result<Query<Bare>, QueryRejection>) -> Answer {
    query(parameters)?;
    let spaces = service.call(|source| source.config_spaces()).await?;
    Ok((
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        Dump(&spaces).to_string(),
    )
        .into_response())
}

async fn registers(parameters: Result<Query<Bare>, QueryRejection>) -> Answer {
    query(parameters)?;
    Ok(Json(tables::all()).into_response())
}

async fn plug(
    State(service): Shared,
    at: Result<Path<String>, PathRejection>,
    parameters: Result<Query<Bare>, QueryRejection>,
    endpoint: Body,
) -> Answer {
    query(parameters)?;
    let port = path(at)?;
    let bytes = body(&service, endpoint, service.limits.body_bytes).await?;
    let endpoint: EndpointSpec = serde_json::from_slice(&bytes).map_err(|error| {
        Refusal::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the endpoint's description: {error}"),
        )
    })?;
    let endpoint = Box::new(endpoint);
    operate(&service, Operation::Plug { port, endpoint }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UnplugQuery {
    #[serde(default)]
    surprise: bool,
}

async fn unplug(
    State(service): Shared,
    at: Result<Path<String>, PathRejection>,
    parameters: Result<Query<UnplugQuery>, QueryRejection>,
) -> Answer {
    let surprise = query(parameters)?.surprise;
    let port = path(at)?;
    operate(&service, Operation::Unplug { port, surprise }).await
}

async fn request_removal(
    State(service): Shared,
    at: Result<Path<String>, PathRejection>,
) -> Answer {
    let port = path(at)?;
    operate(&service, Operation::RequestRemoval { port }).await
}

async fn button(State(service): Shared, at: Result<Path<String>, PathRejection>) -> Answer {
    let port = path(at)?;
    operate(&service, Operation::PressButton { port }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LatchQuery {
    open: bool,
}

async fn latch(
    State(service): Shared,
    at: Result<Path<String>, PathRejection>,
    parameters: Result<Query<LatchQuery>, QueryRejection>,
) -> Answer {
    let open = query(parameters)?.open;
    let port = path(at)?;
    operate(&service, Operation::SetLatch { port, open }).await
}

async fn power_fault(State(service): Shared, at: Result<Path<String>, PathRejection>) -> Answer {
    let port = path(at)?;
    operate(&service, Operation::PowerFault { port }).await
}

async fn save(State(service): Shared) -> Answer {
    operate(&service, Operation::Save).await
}

async fn restore(State(service): Shared, state: Body) -> Answer {
    let state = body(&service, state, service.limits.body_bytes).await?;
    operate(&service, Operation::Restore { state }).await
}

async fn operate(service: &Service, operation: Operation) -> Answer {
    let outcome = service
        .call(move |source| source.operate(operation))
        .await?
        .map_err(|error| {
            let status = match error {
                OperationError::NotSupported => StatusCode::NOT_IMPLEMENTED,
                OperationError::NotFound(_) => StatusCode::NOT_FOUND,
                OperationError::Conflict(_) | OperationError::Held(_) => StatusCode::CONFLICT,
                OperationError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
                OperationError::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            let refusal = Refusal::new(status, error.to_string());
            match error {
                OperationError::Held(_) => refusal.with("held", true),
                _ => refusal,
            }
        })?;
    Ok(match outcome {
        Outcome::Done => StatusCode::NO_CONTENT.into_response(),
        Outcome::Saved(state) => {
            ([(header::CONTENT_TYPE, "application/octet-stream")], state).into_response()
        }
    })
}
