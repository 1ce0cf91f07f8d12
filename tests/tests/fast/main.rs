//! No machine needed: documents, the API against the rehearsal cloud, crashes and faults, the front door's answers.

mod behaviour;
mod crash;
mod documents;
mod door;
mod faults;
mod job;
mod late;
mod leases;
mod scene;
mod ssh_door;
mod worlds;

use job::Job;
use libtest_mimic::Arguments;
use tests::trial;

fn main() {
    if let Some(run) = crash::be_the_run() {
        std::process::exit(i32::from(run.is_err()));
    }
    if let Some(command) = ssh_door::be_the_command() {
        std::process::exit(i32::from(command.is_err()));
    }
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("fast_user_data_passes_cloud_inits_own_schema", documents::user_data_passes_the_schema),
        trial("fast_documents_of_every_version_are_still_read", documents::old_documents_are_read),
        trial(
            "fast_a_run_killed_at_every_call_is_followed_by_one_that_converges",
            crash::killed_at_every_call,
        ),
        trial("fast_a_project_is_locked_and_a_stale_lock_recognised", crash::lock),
        trial("fast_every_fault_at_every_call_of_create_ends_rightly", || faults::matrix(Job::Create)),
        trial("fast_every_fault_at_every_call_of_repair_ends_rightly", || faults::matrix(Job::Repair)),
        trial("fast_every_fault_at_every_call_of_rebuild_ends_rightly", || faults::matrix(Job::Rebuild)),
        trial("fast_every_fault_at_every_call_of_destroy_ends_rightly", || faults::matrix(Job::Destroy)),
        trial("fast_a_fault_that_never_ends_is_given_up", faults::endless),
        trial("fast_random_worlds_are_put_right", worlds::are_put_right),
        trial("fast_out_of_stock_destroys_nothing_and_says_what_was_tried", behaviour::out_of_stock),
        trial("fast_a_type_out_of_stock_leaves_the_server_as_it_was", behaviour::type_out_of_stock),
        trial("fast_a_name_taken_by_a_stranger_is_not_adopted", behaviour::a_strangers_name),
        trial(
            "fast_obstacles_stop_changes_and_not_the_way_in",
            behaviour::obstacles_stop_changes_and_not_the_way_in,
        ),
        trial("fast_destroy_keeps_what_holds_data", behaviour::destroy_keeps_data),
        trial("fast_protection_holds", behaviour::protection_holds),
        trial("fast_records_of_others_are_left_alone", behaviour::foreign_records),
        trial("fast_every_type_of_record_is_published_once", behaviour::every_type_of_record),
        trial("fast_a_zone_that_nobody_sees_is_said_to_be_so", behaviour::unseen_zone),
        trial("fast_what_the_real_cloud_is_tried_with_works_here", behaviour::the_live_cycle),
        trial("fast_what_is_so_already_is_no_failure", late::what_is_so_already),
        trial("fast_a_plan_takes_few_requests", behaviour::few_requests),
        trial("fast_a_plan_changes_nothing_on_this_machine_either", door::plan_changes_nothing),
        trial("fast_all_mistakes_of_a_project_at_once", door::all_mistakes_at_once),
        trial("fast_an_unproved_key_stops_before_anything_is_made", door::unproved_key_stops),
        trial("fast_init_writes_what_provision_reads", door::init),
        trial("fast_a_full_disk_is_said_before_anything_is_built", door::full_disk),
        trial("fast_a_wrong_clock_here_removes_nothing_that_is_leased", leases::by_the_clouds_clock),
        trial(
            "fast_the_door_for_ssh_of_another_machine_is_judged_by_the_clouds_clock",
            leases::a_door_of_another_machine,
        ),
        trial("fast_the_door_for_ssh_closes_however_work_ends", ssh_door::however_work_ends),
        trial("fast_the_door_for_ssh_is_closed_again_and_again_until_it_is_shut", ssh_door::hard_to_close),
        trial("fast_the_door_for_ssh_of_a_command_at_work_is_left_alone", ssh_door::in_use),
        trial("fast_the_door_for_ssh_stays_shut_where_it_is_not_needed", ssh_door::not_needed),
        trial("fast_the_door_for_ssh_opens_in_no_firewall_that_is_in_doubt", ssh_door::in_doubt),
        trial("fast_the_door_for_ssh_closes_on_signals_and_is_found_after_a_kill", ssh_door::broken_off),
        trial("fast_a_new_cloud_is_served_in_the_foreground", door::foreground),
        trial("fast_nobody_reading_is_no_failure_of_any_verb", door::nobody_reads),
        trial("fast_what_is_no_text_is_taken_as_it_is", door::what_is_no_text),
        trial("fast_help_has_an_example_everywhere", door::help),
    ];
    tests::run(&arguments, trials).exit();
}
