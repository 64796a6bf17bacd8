//! The service file: connection parameters under a name.
//!
//! <https://www.postgresql.org/docs/current/libpq-pgservice.html>

use std::path::{Path, PathBuf};

use ductstream_core::{Error, Result};

use super::environment::Environment;
use super::parameters::Parameters;

/// The parameters of the service that `parameters` or `PGSERVICE` names; none when neither names one.
///
/// As in libpq the user's file comes first (`servicefile`, `PGSERVICEFILE` or `~/.pg_service.conf`), then the system's.
pub(super) fn load(parameters: &Parameters, environment: &Environment) -> Result<Parameters> {
    let named = |keyword: &str, variable: &str| {
        let value = parameters.get(keyword).or_else(|| environment.variable(variable));
        value.filter(|value| !value.is_empty()).map(str::to_owned)
    };
    let Some(service) = named("service", "PGSERVICE") else { return Ok(Parameters::default()) };
    let given = named("servicefile", "PGSERVICEFILE").map(PathBuf::from);
    let user_file = given.or_else(|| environment.home_file(".pg_service.conf"));
    let system = environment.variable("PGSYSCONFDIR").map_or(environment.system_directory.clone(), PathBuf::from);
    let files: Vec<_> = user_file.into_iter().chain([system.join("pg_service.conf")]).collect();
    for file in &files {
        if let Some(found) = load_from(file, &service)? {
            return Ok(found);
        }
    }
    let places: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
    Err(Error::configuration(format!("service {service:?} is not defined in {}", places.join(" or ")))
        .with_remedy(format!("add a section [{service}], or name another file by PGSERVICEFILE")))
}

/// The section `service` of `file`; `None` when the file or the section does not exist.
fn load_from(file: &Path, service: &str) -> Result<Option<Parameters>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let message = format!("cannot read the service file {}", file.display());
            return Err(Error::configuration(message).with_source(error).with_remedy("make the file readable"));
        }
    };
    let mut found: Option<Parameters> = None;
    for (index, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(section) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            found = (section.strip_suffix(']') == Some(service)).then(Parameters::default);
        } else if let Some(parameters) = &mut found {
            set(parameters, line, &format!("line {index} of the service file {}", file.display()))?;
        }
    }
    Ok(found)
}

fn set(parameters: &mut Parameters, line: &str, place: &str) -> Result<()> {
    let Some((keyword, value)) = line.split_once('=') else {
        return Err(
            Error::configuration(format!("{place} is not of the form keyword=value")).with_remedy("correct the line")
        );
    };
    if keyword == "service" || keyword == "servicefile" {
        return Err(Error::configuration(format!("{place} sets {keyword}, which a service cannot"))
            .with_remedy("take the line out"));
    }
    parameters.set(keyword, value.to_owned(), place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_file_comes_before_the_systems_and_only_the_named_section_counts() {
        let directory = tempfile::tempdir().unwrap();
        let user_file = directory.path().join("user.conf");
        std::fs::write(&user_file, "# mine\n[a]\nhost=a1\n\n[b]\nhost=b1\nport=6000\n[c]\nhost=c1\n").unwrap();
        std::fs::write(directory.path().join("pg_service.conf"), "[a]\nhost=a2\n[d]\nhost=d2\n").unwrap();
        let mut environment = Environment { system_directory: directory.path().into(), ..Environment::default() };
        environment.variables.insert("PGSERVICEFILE".into(), user_file.display().to_string());

        for (service, host) in [("a", "a1"), ("b", "b1"), ("d", "d2")] {
            environment.variables.insert("PGSERVICE".into(), service.into());
            let found = load(&Parameters::default(), &environment).unwrap();
            assert_eq!(found.get("host"), Some(host));
            assert_eq!(found.get("port"), (service == "b").then_some("6000"));
        }
        environment.variables.insert("PGSERVICE".into(), "missing".into());
        let error = load(&Parameters::default(), &environment).err().unwrap();
        assert!(error.message().contains("\"missing\"") && error.message().contains("user.conf"), "{error}");
    }

    #[test]
    fn a_wrong_line_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pg_service.conf");
        for (line, word) in [("nonsense", "line 2"), ("service=x", "service"), ("hots=x", "\"hots\"")] {
            std::fs::write(&file, format!("[a]\n{line}\n")).unwrap();
            let error = load_from(&file, "a").err().unwrap();
            assert!(error.message().contains(word), "{error}");
        }
    }
}
