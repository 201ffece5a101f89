//! Calls whose answer must be of their own kind.

use tarpc::{
    ServerError,
    client::{Channel, RpcError, stub::Stub},
    context,
};

use crate::service::{PeerRequest, PeerResponse};

/// tarpc's channel, which hands on whatever answer carries the request's number. The methods that
/// tarpc generates panic where that is the answer to another method; here it is an error.
#[derive(Clone)]
pub(super) struct Checked(pub(super) Channel<PeerRequest, PeerResponse>);

impl Stub for Checked {
    type Req = PeerRequest;
    type Resp = PeerResponse;

    async fn call(
        &self,
        context: context::Context,
        request: PeerRequest,
    ) -> Result<PeerResponse, RpcError> {
        let asked = asked(&request);
        let response = self.0.call(context, request).await?;
        let answered = answered(&response);
        if asked == answered {
            return Ok(response);
        }
        let detail = format!("asked for {asked:?}, the peer answered to {answered:?}");
        Err(RpcError::Server(ServerError::new(
            std::io::ErrorKind::InvalidData,
            detail,
        )))
    }
}

/// What is asked for, and what is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Apply,
    ExchangeLog,
    Scan,
    Status,
    Ping,
    Reconcile,
    Gossip,
}

fn asked(request: &PeerRequest) -> Method {
    match request {
        PeerRequest::Apply { .. } => Method::Apply,
        PeerRequest::ExchangeLog { .. } => Method::ExchangeLog,
        PeerRequest::Scan { .. } => Method::Scan,
        PeerRequest::Status { .. } => Method::Status,
        PeerRequest::Ping { .. } => Method::Ping,
        PeerRequest::Reconcile { .. } => Method::Reconcile,
        PeerRequest::Gossip { .. } => Method::Gossip,
    }
}

fn answered(response: &PeerResponse) -> Method {
    match response {
        PeerResponse::Apply(_) => Method::Apply,
        PeerResponse::ExchangeLog(_) => Method::ExchangeLog,
        PeerResponse::Scan(_) => Method::Scan,
        PeerResponse::Status(_) => Method::Status,
        PeerResponse::Ping(_) => Method::Ping,
        PeerResponse::Reconcile(_) => Method::Reconcile,
        PeerResponse::Gossip(_) => Method::Gossip,
    }
}
