//! Problems that many operations answer with alike are written down once: the document stays small enough to read.

use std::collections::BTreeMap;

use utoipa::openapi::{OpenApi as Model, Ref, RefOr, Response};

use super::{described, problems::MEDIA};
use crate::urls::ROUTES;

/// Responses by what they say, each with its name.
#[derive(Default)]
struct Shared {
    names: BTreeMap<String, String>,
    responses: BTreeMap<String, RefOr<Response>>,
}

impl Shared {
    /// The name of a response, a new one where none says the same. `None` where it can't be told.
    fn name(&mut self, status: &str, response: &Response) -> Option<String> {
        let says = serde_json::to_string(response).ok()?;
        if let Some(name) = self.names.get(&says) {
            return Some(name.clone());
        }
        let with_status = self.responses.keys().filter(|name| name.starts_with(&format!("problem-{status}"))).count();
        let name = format!("problem-{status}-{}", with_status + 1);
        self.responses.insert(name.clone(), RefOr::T(response.clone()));
        self.names.insert(says, name.clone());
        Some(name)
    }
}

/// Moves the problems of all operations to the parts that the document shares.
pub(super) fn share(model: &mut Model) {
    let mut shared = Shared::default();
    for route in &ROUTES {
        let Some(described) = described(model, route) else { continue };
        for (status, response) in &mut described.responses.responses {
            let RefOr::T(known) = &*response else { continue };
            let is_problem = status.starts_with(['4', '5']) && known.content.keys().all(|media| media == MEDIA);
            if let Some(name) = is_problem.then(|| shared.name(status, known)).flatten() {
                *response = RefOr::Ref(Ref::from_response_name(name));
            }
        }
    }
    model.components.get_or_insert_with(Default::default).responses.extend(shared.responses);
}
