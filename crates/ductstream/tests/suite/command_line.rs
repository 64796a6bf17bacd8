use std::process::{Command, Output};

fn ductstream(arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_ductstream"))
        .args(arguments)
        .current_dir(directory.path())
        .env("DUCTSTREAM_STATE", directory.path().join("state"))
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn every_command_has_a_help_text_with_examples() {
    let help = ductstream(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    for command in [
        "run",
        "check",
        "init",
        "schema",
        "tail",
        "decode",
        "dead-letter",
        "slot",
        "cleanup",
        "connectors",
        "completions",
    ] {
        assert!(text(&help.stdout).contains(&format!("\n  {command} ")), "{command}\n{}", text(&help.stdout));
        let help = ductstream(&[command, "--help"]);
        assert!(text(&help.stdout).contains("Examples:\n  ductstream "), "{command}: {}", text(&help.stdout));
    }
    assert!(!text(&help.stdout).contains("flow-schema"));
}

#[test]
fn connectors_lists_what_each_can_do_for_people_and_for_programs() {
    let shown = ductstream(&["connectors"]);
    assert_eq!(shown.status.code(), Some(0));
    let document = ductstream(&["connectors", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&document.stdout).unwrap();
    assert_eq!(document["sources"][0]["type"], "postgres");
    let destinations = document["destinations"].as_array().unwrap();
    let types: Vec<&str> = destinations.iter().map(|it| it["type"].as_str().unwrap()).collect();
    let schema = ductstream::flow::json_schema();
    let known = schema["$defs"]["DestinationSettings"]["oneOf"].as_array().unwrap();
    let known: Vec<&str> = known.iter().map(|it| it["properties"]["type"]["const"].as_str().unwrap()).collect();
    assert_eq!(types, known, "as many as a flow file may have");
    for name in types {
        assert!(text(&shown.stdout).contains(&format!("\n{name} ")), "{name}: {}", text(&shown.stdout));
    }
    let stdout = destinations.iter().find(|it| it["type"] == "stdout").unwrap();
    assert_eq!(stdout["formats"], serde_json::json!(["json"]));
    assert_eq!((&stdout["exactly_once"], &stdout["cross_table_order"]), (&false.into(), &true.into()));
    assert_eq!(stdout["operations"][3], "truncate");
}

#[test]
fn wrong_usage_exits_with_2_and_speaks_on_standard_error() {
    for arguments in [
        &["run"][..],
        &["rnu", "flow.yaml"],
        &["run", "flow.yaml", "--until-idle", "--until-lsn", "0/1"],
        &["run", "flow.yaml", "--until-lsn", "nonsense"],
        &["run", "missing.yaml"],
        &["check", "missing.yaml"],
        &["slot", "list", "missing.yaml"],
        &["decode"],
        &["decode", "missing.parquet"],
        &["tail", "postgresql://127.0.0.1:port/x"],
    ] {
        let output = ductstream(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_wrong_flow_file_is_reported_with_its_line_and_nothing_is_created() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("flow.yaml"), "name: n\nsorce: {type: postgres}\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ductstream"))
        .args(["run", "flow.yaml", "--state", "state"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: flow.yaml:2:1: field sorce: unknown field `sorce`. To go on: write `source`, if that was meant.\n"
    );
    assert!(!directory.path().join("state").exists());
}

#[test]
fn a_flow_that_prints_changes_cannot_print_status_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let flow =
        "{name: n, source: {type: postgres, tables: [a.b]}, format: json, destinations: [{name: o, type: stdout}]}";
    std::fs::write(directory.path().join("flow.yaml"), flow).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ductstream"))
        .args(["run", "flow.yaml", "--json"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("leave out --json"), "{}", text(&output.stderr));
}

#[test]
fn completions_and_the_schema_are_data_on_standard_output() {
    for shell in ["bash", "zsh", "fish"] {
        let output = ductstream(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains("until-idle") && output.stderr.is_empty(), "{shell}");
    }
    let output = ductstream(&["flow-schema"]);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema, ductstream::flow::json_schema());
}
