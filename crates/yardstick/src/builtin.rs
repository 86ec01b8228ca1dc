//! The yardsticks that are part of the program.

/// Name and files of each; the files' names are those of the repository.
pub(crate) const ALL: &[(&str, &[(&str, &str)])] = &[("baseline", BASELINE)];

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!("catalogue/yardsticks/", $name),
            include_str!(concat!("../../../catalogue/yardsticks/", $name)),
        )),*]
    };
}

const BASELINE: &[(&str, &str)] = files!["baseline/catalogue.toml", "baseline/accounts.toml"];
