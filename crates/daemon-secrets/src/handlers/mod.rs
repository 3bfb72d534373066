//! One file a request. Each records first and acts then.

mod enrol;
pub mod init;
pub mod lock;
pub mod profile_activate;
pub mod profile_create;
pub mod profile_deactivate;
pub mod profile_default;
pub mod secret_delete;
pub mod secret_get;
pub mod secret_list;
pub mod secret_set;
pub mod status;
pub mod unlock;
pub mod wipe;
