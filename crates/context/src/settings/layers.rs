//! Reads the layers, refuses what nobody knows, and finds the secrets.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
};

use figment::{
    Figment,
    providers::{Format, Toml},
    value::{Dict, Value},
};
use serde::de::DeserializeOwned;

use super::SettingsError;

const DEFAULT: &str = include_str!("../../../../config/default.toml");
const DEV: &str = include_str!("../../../../config/dev.toml");
const PROD: &str = include_str!("../../../../config/prod.toml");

const PREFIX: &str = "BEADLE__";
const ENVIRONMENT: &str = "BEADLE_ENV";
/// What tools around Postgres call the setting `database.url`.
const DATABASE_URL: &str = "DATABASE_URL";

/// Settings that only a variable may hold, or a file named by the same key with `_file`.
const SECRETS: [&str; 4] =
    ["database.url", "database.direct_url", "storage.secret_access_key", "mail.smtp_url"];

/// Reads `config/default.toml`, the environment's file and the variables.
pub(super) fn read(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Layers, SettingsError> {
    let variables = ours(variables)?;
    let mut layers = Layers(BTreeMap::new());
    layers.add_file("config/default.toml", DEFAULT)?;
    let defaults = layers.clone();
    if let Some(environment) = variables.get(ENVIRONMENT).filter(|name| !name.is_empty()) {
        layers.add_environment(environment, &defaults)?;
    }
    layers.add_variables(&variables, &defaults)?;
    layers.resolve_secrets()?;
    Ok(layers)
}

/// The value of each key, such as `http.bind`, and where it was said last.
#[derive(Clone)]
pub(super) struct Layers(BTreeMap<String, (Value, Origin)>);

#[derive(Clone)]
enum Origin {
    File(String),
    Variable(String),
}

impl Layers {
    /// Turns the layers into settings.
    pub fn merge<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let mut figment = Figment::new();
        for (key, (value, _)) in &self.0 {
            figment = figment.merge((key.as_str(), value.clone()));
        }
        figment.extract().map_err(|error| SettingsError::Invalid {
            key: self.spell(&error.path.join(".")),
            problem: error.kind.to_string(),
        })
    }

    /// Names `key` in the way that whoever set it wrote it.
    pub fn spell(&self, key: &str) -> String {
        match self.0.get(key) {
            Some((_, Origin::File(file))) => format!("`{key}` in {file}"),
            Some((_, Origin::Variable(name))) => format!("`{name}`"),
            None => format!("`{key}`"),
        }
    }

    fn add_environment(&mut self, name: &str, defaults: &Layers) -> Result<(), SettingsError> {
        match name {
            "dev" => self.add_file("config/dev.toml", DEV)?,
            "prod" => self.add_file("config/prod.toml", PROD)?,
            path if path.ends_with(".toml") || path.contains('/') => {
                let text = fs::read_to_string(path).map_err(|source| {
                    SettingsError::Unreadable { path: PathBuf::from(path), source }
                })?;
                self.add_file(path, &text)?;
            }
            other => return Err(SettingsError::UnknownEnvironment(other.to_owned())),
        }
        for key in self.0.keys() {
            if SECRETS.contains(&key.as_str()) {
                return Err(SettingsError::SecretInFile {
                    key: self.spell(key),
                    variable: variable_of(key),
                    file_key: file_key_of(key),
                });
            }
            if !defaults.knows(key) {
                let hint = defaults.nearest(key);
                return Err(SettingsError::Unknown { key: self.spell(key), hint });
            }
        }
        Ok(())
    }

    fn add_file(&mut self, file: &str, text: &str) -> Result<(), SettingsError> {
        // The parser's full message quotes the line, and that line may hold a secret.
        let dict: Dict = <Toml as Format>::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count()) + 1;
            SettingsError::Syntax {
                file: file.to_owned(),
                problem: format!("line {line}: {}", error.message().replace('\n', ", ")),
            }
        })?;
        let mut keys = Vec::new();
        flatten("", dict, &mut keys);
        for (key, value) in keys {
            // A header with nothing below it says nothing, and would hide its section's keys.
            let bare_header = value.as_dict().is_some() && self.has_section(&key);
            if !bare_header {
                self.0.insert(key, (value, Origin::File(file.to_owned())));
            }
        }
        Ok(())
    }

    fn add_variables(
        &mut self,
        variables: &BTreeMap<String, String>,
        defaults: &Layers,
    ) -> Result<(), SettingsError> {
        for (name, text) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            let key = key.to_lowercase().replace("__", ".");
            let value = match defaults.0.get(&key) {
                Some((Value::String(..), _)) => Value::from(text.as_str()),
                // An empty secret is an unset one: compose files pass on what they do not have.
                _ if SECRETS.contains(&key.as_str()) && text.is_empty() => continue,
                _ if SECRETS.contains(&key.as_str()) => Value::from(text.as_str()),
                _ if defaults.knows(&key) => parse(text),
                _ => {
                    let hint = defaults.nearest(&key).map(|key| variable_of(&key));
                    return Err(SettingsError::Unknown { key: format!("`{name}`"), hint });
                }
            };
            self.0.insert(key, (value, Origin::Variable(name.clone())));
        }
        match variables.get(DATABASE_URL) {
            Some(url) if !url.is_empty() => self.add_database_url(url),
            _ => Ok(()),
        }
    }

    fn add_database_url(&mut self, url: &str) -> Result<(), SettingsError> {
        let value = Value::from(url);
        match self.0.get("database.url") {
            Some((set, _)) if set.as_str() != Some(url) => Err(SettingsError::SecretTwice {
                first: format!("`{DATABASE_URL}`"),
                second: self.spell("database.url"),
            }),
            _ => {
                let origin = Origin::Variable(DATABASE_URL.to_owned());
                self.0.insert("database.url".to_owned(), (value, origin));
                Ok(())
            }
        }
    }

    fn resolve_secrets(&mut self) -> Result<(), SettingsError> {
        for secret in SECRETS {
            let file_key = file_key_of(secret);
            let spelled = self.spell(&file_key);
            let Some((value, origin)) = self.0.remove(&file_key) else { continue };
            let Some(path) = value.as_str().filter(|path| !path.is_empty()) else { continue };
            if self.0.contains_key(secret) {
                return Err(SettingsError::SecretTwice {
                    first: self.spell(secret),
                    second: spelled,
                });
            }
            let text = read_secret(spelled, Path::new(path))?;
            self.0.insert(secret.to_owned(), (Value::from(text), origin));
        }
        Ok(())
    }

    fn knows(&self, key: &str) -> bool {
        let is_queue = key.strip_prefix("queues.").is_some_and(|rest| {
            let name = rest.strip_suffix(".concurrency").unwrap_or(rest);
            !name.is_empty() && !name.contains('.')
        });
        is_queue || self.0.contains_key(key)
    }

    fn has_section(&self, key: &str) -> bool {
        self.0.keys().any(|known| known.strip_prefix(key).is_some_and(|k| k.starts_with('.')))
    }

    /// The known key that somebody who wrote `key` may have meant.
    fn nearest(&self, key: &str) -> Option<String> {
        const FARTHEST: usize = 3;
        let leaf = |key: &str| key.rsplit('.').next().map(str::to_owned);
        let known = self.0.keys().map(String::as_str).chain(SECRETS);
        known
            .map(|known| match leaf(known) == leaf(key) {
                true => (0, known),
                false => (distance(known, key), known),
            })
            .min()
            .filter(|(distance, _)| *distance <= FARTHEST)
            .map(|(_, known)| known.to_owned())
    }
}

/// The variables that concern us, as text.
fn ours(
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<BTreeMap<String, String>, SettingsError> {
    let is_ours = |name: &OsStr| {
        name.as_encoded_bytes().starts_with(PREFIX.as_bytes())
            || name == ENVIRONMENT
            || name == DATABASE_URL
    };
    let text = |text: OsString, name: &str| {
        text.into_string().map_err(|_| SettingsError::NotUtf8(name.to_owned()))
    };
    variables
        .into_iter()
        .filter(|(name, _)| is_ours(name))
        .map(|(name, value)| {
            let name = text(name.clone(), &name.to_string_lossy())?;
            let value = text(value, &name)?;
            Ok((name, value))
        })
        .collect()
}

fn flatten(prefix: &str, dict: Dict, keys: &mut Vec<(String, Value)>) {
    for (name, value) in dict {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            Value::Dict(_, inner) if !inner.is_empty() => flatten(&key, inner, keys),
            value => keys.push((key, value)),
        }
    }
}

/// Numbers and truth values as TOML writes them; what is neither stays text and is refused later.
fn parse(text: &str) -> Value {
    let plain = text.trim().replace('_', "");
    let number = plain.parse::<i64>().ok().map(Value::from);
    let truth = || plain.parse::<bool>().ok().map(Value::from);
    number.or_else(truth).unwrap_or_else(|| Value::from(text))
}

fn read_secret(key: String, path: &Path) -> Result<String, SettingsError> {
    let text = fs::read_to_string(path).map_err(|source| SettingsError::SecretUnreadable {
        key: key.clone(),
        path: path.to_owned(),
        source,
    })?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SettingsError::SecretEmpty { key, path: path.to_owned() }),
        secret => Ok(secret.to_owned()),
    }
}

fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

fn file_key_of(secret: &str) -> String {
    format!("{secret}_file")
}

/// How many letters differ, counted by Levenshtein.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}
