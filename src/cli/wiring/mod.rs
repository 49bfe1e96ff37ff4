//! The functions through which commands call the other modules of `src`.

mod at_once;
mod bundle;
mod check;
mod consent;
mod doctor;
mod images;
mod machine;
mod objects;
mod past;
mod prints;
mod project;
mod reload;
mod saves;
mod shell;
mod standing;
mod steady;
mod unchanged;
mod upload;

pub use at_once::{at_once, at_once_when_idle};
pub use bundle::{differences, failed, pack};
pub use check::check;
pub use consent::{READY_MADE, at, check_host_programs, recipes, recipes_of_a_stranger};
pub use doctor::doctor;
pub use images::{images_build, images_bundle, images_load};
pub use machine::{
    before_anything, check_kubeconfig, down, e2e, fresh_run_id, gc, images_fetch, images_list, images_prune, reaper,
    remaining,
};
pub use objects::{Complete, ReadyMade, ready_made, with_objects};
pub use past::Past;
pub use prints::{Prints, contents, prints};
pub use project::{Listed, Project, arranged, lint, part, plan};
pub use reload::reload;
pub use saves::saves;
pub use shell::enter;
pub use standing::{
    Standing, Wanted, all_left, all_standing, ask, can_stand, flag, is_found, now, older_than, open, standing,
    to_take_down,
};
pub use unchanged::{Unchanged, unchanged};
pub use upload::{Upload, records};
