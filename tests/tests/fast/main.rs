//! No machine needed: documents, the API against the rehearsal cloud, crashes and faults, the front door's answers.

mod crash;
mod documents;
mod door;

use libtest_mimic::Arguments;
use tests::trial;

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("fast_user_data_passes_cloud_inits_own_schema", documents::user_data_passes_the_schema),
        trial("fast_documents_of_every_version_are_still_read", documents::old_documents_are_read),
        trial("fast_apply_converges_after_a_crash_at_every_call", crash::at_every_call),
        trial("fast_refusals_stop_and_say_what_to_do", crash::refusals_stop),
        trial("fast_out_of_stock_changes_nothing", crash::out_of_stock),
        trial("fast_a_name_taken_by_a_stranger_is_not_adopted", crash::a_strangers_name),
        trial("fast_destroy_keeps_what_holds_data", crash::destroy_keeps_data),
        trial("fast_a_plan_changes_nothing_on_this_machine_either", door::plan_changes_nothing),
        trial("fast_all_mistakes_of_a_project_at_once", door::all_mistakes_at_once),
        trial("fast_an_unproved_key_stops_before_anything_is_made", door::unproved_key_stops),
        trial("fast_init_writes_what_provision_reads", door::init),
        trial("fast_a_full_disk_is_said_before_anything_is_built", door::full_disk),
        trial("fast_help_has_an_example_everywhere", door::help),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}
