//! `sesame wipe`

use ipc::secrets::SecretsRequest;
use serde_json::json;
use uuid::Uuid;

use crate::connect::Context;
use crate::exit::Failure;
use crate::output::Output;

pub fn run(context: &Context, output: &Output, installation: Uuid) -> Result<(), Failure> {
    context.secrets()?.done(&SecretsRequest::Wipe { installation })?;
    let text = format!(
        "Installation {installation} is destroyed with all its vaults. Its audit trail is kept, and \
         put aside when the next installation begins.\n"
    );
    output.result(&text, json!({ "wiped": installation }))
}
