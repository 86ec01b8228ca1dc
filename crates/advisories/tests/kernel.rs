//! Which files are part of a kernel: every kind of evidence, and every guard.

use proofmark_advisories::kernel::{Compiled, KernelPicture, compiled};

fn picture(release: &str, config: &[(&str, &str)], complete: bool) -> KernelPicture {
    KernelPicture {
        release: release.into(),
        machine: Some("mips".into()),
        config: config.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        config_complete: complete,
        ..KernelPicture::default()
    }
}

fn ask(files: &[&str], picture: &KernelPicture) -> Compiled {
    compiled(files.iter().copied(), std::iter::empty(), picture)
}

fn is_no(c: &Compiled) -> bool {
    matches!(c, Compiled::No(_))
}

fn is_yes(c: &Compiled) -> bool {
    matches!(c, Compiled::Yes(_))
}

const BNEP: &str = "net/bluetooth/bnep/core.c";

#[test]
fn an_option_that_is_off_takes_its_files_out() {
    let off = picture("6.1.50", &[("NET", "y"), ("BT", "n")], true);
    assert!(is_no(&ask(&[BNEP], &off)));
    let on =
        picture("6.1.50", &[("NET", "y"), ("BT", "y"), ("BT_BREDR", "y"), ("BT_BNEP", "y")], true);
    assert!(is_yes(&ask(&[BNEP], &on)));
    // One of several files is enough to keep the record.
    assert!(is_yes(&ask(&[BNEP, "net/socket.c"], &off)));
}

#[test]
fn absence_needs_a_complete_configuration_of_a_known_release() {
    let silent =
        |release: &str, complete: bool| ask(&[BNEP], &picture(release, &[("NET", "y")], complete));
    assert!(is_no(&silent("6.1.50", true)));
    assert!(is_no(&silent("6.6.3", true)), "between the releases of the table");
    assert!(!is_no(&silent("6.1.50", false)), "not read to its end");
    assert!(!is_no(&silent("4.14.98", true)), "an option may have had another name");
    // An older release that says so itself.
    let said = picture("4.14.98", &[("NET", "y"), ("BT", "n")], true);
    assert!(is_no(&ask(&[BNEP], &said)));
    // Or says so of what the option depends on.
    let usb = picture("4.14.98", &[("NET", "y"), ("USB", "n")], true);
    assert!(is_no(&ask(&["drivers/net/usb/asix_common.c"], &usb)));
    // Without any configuration nothing is absent.
    assert!(matches!(ask(&[BNEP], &picture("6.1.50", &[], false)), Compiled::Unknown(_)));
}

#[test]
fn unknown_files_and_files_that_are_no_code_keep_the_record() {
    let p = picture("6.1.50", &[("NET", "y"), ("BT", "n")], true);
    for files in [
        &["net/vendor/secret.c"][..],
        &["include/net/sock.h"],
        &["net/bluetooth/Makefile"],
        &["tools/bpf/x.c"],
        &[],
    ] {
        assert!(matches!(ask(files, &p), Compiled::Unknown(_)), "{files:?}");
    }
    // A header beside an absent file does not keep it.
    assert!(is_no(&ask(&[BNEP, "include/net/bluetooth/bnep.h"], &p)));
    assert!(matches!(ask(&[BNEP, "net/vendor/secret.c"], &p), Compiled::Unknown(_)));
}

#[test]
fn another_instruction_set_is_absent_where_the_own_one_is_known() {
    let mut p = picture("4.4.1", &[], false);
    assert!(is_no(&ask(&["arch/x86/kvm/svm.c"], &p)));
    assert!(!is_no(&ask(&["arch/mips/kernel/traps.c"], &p)));
    p.machine = None;
    assert!(!is_no(&ask(&["arch/x86/kvm/svm.c"], &p)));
    // Its configuration or its system calls tell what it was built for.
    p.config.insert("ARM".into(), "y".into());
    assert!(is_no(&ask(&["arch/x86/kvm/svm.c"], &p)));
    p.config.clear();
    p.symbols = vec!["__arm64_sys_read".into(), "do_exit".into()];
    assert!(is_no(&ask(&["arch/x86/kvm/svm.c"], &p)));
    assert!(!is_no(&ask(&["arch/arm64/kvm/arm.c"], &p)));
}

#[test]
fn modules_text_and_symbols_show_presence_only() {
    let mut p = picture("5.10.1", &[], false);
    p.modules = vec!["cls-tcindex".into()];
    p.files = vec!["./net/sched/act_api.c".into()];
    p.symbols = vec!["nft_do_chain".into()];
    assert!(is_yes(&ask(&["net/sched/cls_tcindex.c"], &p)));
    assert!(is_yes(&ask(&["net/sched/act_api.c"], &p)));
    assert!(!is_no(&ask(&["net/sched/cls_u32.c"], &p)));
    let by_function =
        compiled(["net/netfilter/nf_tables_core.c"].into_iter(), ["nft_do_chain"].into_iter(), &p);
    assert!(is_yes(&by_function));
}

#[test]
fn a_module_counts_as_present_where_it_was_shipped() {
    let config = [("NET", "m"), ("NET_CLS_TCINDEX", "m"), ("NET_SCHED", "y")];
    let mut p = picture("6.1.50", &config, true);
    let file = "net/sched/cls_u32.c";
    p.config.insert("NET_CLS_U32".into(), "m".into());
    assert!(matches!(ask(&[file], &p), Compiled::Unknown(_)));
    p.modules = vec!["cls_u32".into()];
    assert!(is_yes(&ask(&[file], &p)));
}

#[test]
fn moved_files_are_known_by_their_new_name() {
    let p = picture("6.1.50", &[("NET", "y"), ("CIFS", "n")], true);
    assert!(is_no(&ask(&["fs/cifs/smb2ops.c"], &p)));
}

#[test]
fn a_complete_symbol_table_shows_what_is_missing_where_no_module_can_bring_it() {
    let mut p = picture("6.1.50", &[], false);
    p.symbols =
        ["do_exit", "schedule", "start_kernel", "tcf_register_action"].map(String::from).into();
    p.symbols_complete = true;
    // By a function that every build of the file has, or by the lack of all of them.
    assert!(is_yes(&ask(&["net/sched/act_api.c"], &p)));
    assert!(is_no(&ask(&["net/netfilter/nf_tables_api.c"], &p)));
    assert!(
        matches!(ask(&["net/vendor/secret.c"], &p), Compiled::Unknown(_)),
        "a file without marks"
    );
    let refuses = |change: fn(&mut KernelPicture)| {
        let mut other = p.clone();
        change(&mut other);
        other.symbols.sort();
        !is_no(&ask(&["net/netfilter/nf_tables_api.c"], &other))
    };
    assert!(refuses(|p| p.symbols_complete = false), "not read to its end");
    assert!(refuses(|p| p.symbols.retain(|s| s != "do_exit")), "no table of a kernel");
    assert!(refuses(|p| p.symbols.push("load_module".into())), "a module may bring it");
    assert!(refuses(|p| p.release = "4.14.98".into()), "its functions may have had other names");
    // What is seen outweighs a configuration that says otherwise.
    p.config.insert("NET_CLS_ACT".into(), "n".into());
    p.config_complete = true;
    assert!(is_yes(&ask(&["net/sched/act_api.c"], &p)));
}
