//! Backing a server up: the archive as it arrives, piece by piece. What is in it is for the caller to read.

use bytes::Bytes;

use crate::{Client, ClientError};

/// A backup on its way.
#[derive(Debug)]
pub struct BackupStream {
    client: Client,
    response: reqwest::Response,
}

impl Client {
    /// Asks for a backup: a tar archive of the form that `kvstore_types::backup` describes. `rate_mb` is in MiB per second; 0 is for as
    /// fast as it comes, `None` leaves it to the server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn backup(&self, rate_mb: Option<u32>) -> Result<BackupStream, ClientError> {
        let url = self.address.backup(rate_mb);
        let response = self.send_streamed(self.http.get(url)).await?;
        Ok(BackupStream { client: self.clone(), response })
    }
}

impl BackupStream {
    /// The next piece; `None` at the end. The archive is whole only with its last entry.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn next_piece(&mut self) -> Result<Option<Bytes>, ClientError> {
        self.response.chunk().await.map_err(|error| self.client.transport(&error))
    }
}
