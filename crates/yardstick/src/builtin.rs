//! The yardsticks that are part of the program.

/// Name and files of each; the files' names are those of the repository.
pub(crate) const ALL: &[(&str, &[(&str, &str)])] =
    &[("baseline", BASELINE), ("hardening", HARDENING)];

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!("catalogue/yardsticks/", $name),
            include_str!(concat!("../../../catalogue/yardsticks/", $name)),
        )),*]
    };
}

const BASELINE: &[(&str, &str)] = files![
    "baseline/catalogue.toml",
    "baseline/accounts.toml",
    "baseline/keys.toml",
    "baseline/services.toml",
    "baseline/components.toml",
    "baseline/hardening.toml",
    "baseline/updates.toml",
    "baseline/logging.toml",
    "baseline/privileges.toml",
    "baseline/web.toml",
    "baseline/build.toml",
];

const HARDENING: &[(&str, &str)] = files!["hardening.toml"];
