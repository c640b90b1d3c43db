//! The product on a real node: kubelet, containerd, kube-proxy and CoreDNS of its own.
//!
//! `cargo test --locked --test node [PART OF A NAME]`, after `deploy/image.sh`.
//!
//! The claims stand on each other (what is installed by one is edited by the next), so they run in
//! order on one node, and the first that fails ends the run. With an argument the run ends after
//! the first claim whose name contains it.

// clippy.toml allows these in `#[test]` functions only, and there are none: see `harness` in
// Cargo.toml.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod cluster;
mod front;
mod image;
mod install;
mod liveness;
mod readme;
mod sidecar;
#[path = "../it/support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use cluster::Node;

/// Something that holds for the node as the claims before it have left it.
type Claim = fn(&Node);

macro_rules! claims {
    ($($room:ident::$claim:ident,)*) => {
        &[$((stringify!($claim), $room::$claim),)*]
    };
}

const CLAIMS: &[(&str, Claim)] = claims![
    image::the_image_holds_one_program_and_runs_it_as_a_number,
    install::helm_installs_it_restricted_before_there_is_a_tunnel,
    install::helm_test_goes_through_a_tunnel_of_its_own_and_leaves_nothing,
    install::the_quickstart_becomes_ready_and_shows_what_the_readme_shows,
    front::the_chart_refuses_a_node_port_beside_a_class_of_open_proxies,
    front::a_gost_outside_reaches_a_pod_through_the_node_port,
    front::what_helm_says_after_an_installation_works,
    sidecar::an_app_reaches_a_service_through_its_sidecar,
    front::an_exposed_service_is_reached_by_name_and_goes_with_its_tunnel,
    sidecar::an_edit_of_the_config_map_takes_effect_and_an_open_tunnel_lives,
    sidecar::a_job_with_a_sidecar_completes,
    front::the_metrics_service_tells_what_went_through,
    liveness::stopped_processes_are_restarted_without_the_grace_of_a_drain,
    install::uninstalling_keeps_the_crd_and_the_tunnels,
    install::kubectl_alone_installs_the_same,
    readme::no_command_for_a_cluster_was_left_out,
];

fn main() -> ExitCode {
    let last = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let began = Instant::now();
    image::assert_is_there();
    let node = Node::up();
    for (name, claim) in CLAIMS {
        println!("claim {name}");
        let started = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| claim(&node))).is_err() {
            node.show_everything();
            println!("FAILED {name}, after {:.1} s", started.elapsed().as_secs_f32());
            return ExitCode::FAILURE;
        }
        println!("   ok {name}, {:.1} s", started.elapsed().as_secs_f32());
        if last.as_ref().is_some_and(|part| name.contains(part)) {
            break;
        }
    }
    node.down();
    println!("all that was claimed holds, in {:.0} s", began.elapsed().as_secs_f32());
    ExitCode::SUCCESS
}
