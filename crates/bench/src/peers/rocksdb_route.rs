//! What RocksDB is worth behind HTTP where nobody took pains: an axum route that reads on tokio's threads for blocking work. Beside
//! RocksDB called by threads it shows what HTTP takes, and beside kvstore what kvstore makes of the rest.

use std::{net::Ipv4Addr, sync::Arc};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
    serve::ListenerExt,
};
use http::StatusCode;
use rocksdb::DB;
use serde::{Deserialize, Serialize};
use tokio::{net::TcpListener, runtime::Runtime, task::spawn_blocking};

use crate::workload::BASE;

/// Where it listens: the answer to `serve`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Serving {
    pub(super) port: u16,
}

/// Serves what is in the database as long as the runtime lives, on a free port of loopback.
pub(super) fn serve(runtime: &Runtime, db: Arc<DB>) -> Result<Serving> {
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    let port = listener.local_addr()?.port();
    // Without this a peer would be slower than it could be.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    let router = Router::new().route(&format!("{BASE}/kv/{{key}}/"), get(read)).with_state(db);
    runtime.spawn(axum::serve(listener, router).into_future());
    Ok(Serving { port })
}

/// An entry as far as RocksDB knows it.
#[derive(Serialize)]
struct Entry {
    key: String,
    value: String,
}

async fn read(State(db): State<Arc<DB>>, Path(key): Path<String>) -> Result<Json<Entry>, StatusCode> {
    let read = move || Ok::<_, rocksdb::Error>(db.get(&key)?.map(|value| (key, value)));
    let failed = StatusCode::INTERNAL_SERVER_ERROR;
    let found = spawn_blocking(read).await.map_err(|_| failed)?.map_err(|_| failed)?;
    let (key, value) = found.ok_or(StatusCode::NOT_FOUND)?;
    let value = String::from_utf8(value).map_err(|_| failed)?;
    Ok(Json(Entry { key, value }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        http::Http,
        workload::{key, key_path, value},
    };

    #[test]
    fn it_answers_what_the_database_holds() {
        let dir = tempfile::tempdir().unwrap();
        let db = Arc::new(DB::open_default(dir.path()).unwrap());
        db.put(key(7), value(7, 20)).unwrap();
        let runtime = Runtime::new().unwrap();
        let Serving { port } = serve(&runtime, db).unwrap();
        runtime.block_on(async {
            let mut http = Http::connect(port).await.unwrap();
            let answer = http.get(&key_path(7)).await.unwrap();
            let entry = serde_json::json!({"key": key(7), "value": value(7, 20)});
            assert_eq!(answer.status, 200);
            assert_eq!(serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap(), entry);
            assert_eq!(http.get(&key_path(8)).await.unwrap().status, 404);
        });
    }
}
