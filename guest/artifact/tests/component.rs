//! What the shipped component is: what it imports and exports, and what its bytes must not hold.

use wasmparser::{ComponentTypeRef, ExternalKind, Parser, Payload, Validator};

const FILESYSTEM: &str = "dunnage:bundle/filesystem@0.1.0";
const EXPORTS: [&str; 3] = ["dunnage:bundle/bundles@0.1.0", "dunnage:bundle/shims@0.1.0", "dunnage:bundle/tasks@0.1.0"];

#[derive(Default)]
struct Found {
    imports: Vec<String>,
    exports: Vec<String>,
    core_imports: Vec<(String, String)>,
    modules: usize,
    custom_sections: Vec<String>,
}

/// Goes through all sections, those of nested modules and components too.
#[expect(clippy::wildcard_enum_match_arm, reason = "a component has many kinds of sections, and few matter here")]
fn look_into(bytes: &[u8]) -> Result<Found, wasmparser::BinaryReaderError> {
    let mut found = Found::default();
    let mut nesting = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ModuleSection { .. } => {
                found.modules += 1;
                nesting += 1;
            }
            Payload::ComponentSection { .. } => nesting += 1,
            Payload::End(_) => nesting = nesting.saturating_sub(1),
            Payload::ComponentImportSection(section) if nesting == 0 => {
                for import in section {
                    let import = import?;
                    // A type that the world uses by its name brings nothing with it.
                    if !matches!(import.ty, ComponentTypeRef::Type(_)) {
                        found.imports.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if nesting == 0 => {
                for export in section {
                    found.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    found.core_imports.push((import.module.to_owned(), import.name.to_owned()));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    assert_ne!(export.kind, ExternalKind::Global, "{}: nobody needs to see a global", export.name);
                }
            }
            Payload::CustomSection(section) => found.custom_sections.push(section.name().to_owned()),
            _ => {}
        }
    }
    Ok(found)
}

#[test]
fn it_is_a_valid_component() {
    assert!(Parser::is_component(dunnage_policy_artifact::COMPONENT));
    Validator::new().validate_all(dunnage_policy_artifact::COMPONENT).unwrap();
}

#[test]
fn it_imports_the_filesystem_and_nothing_else() {
    assert_eq!(look_into(dunnage_policy_artifact::COMPONENT).unwrap().imports, [FILESYSTEM]);
}

#[test]
fn it_exports_the_policy_and_nothing_else() {
    let mut exports = look_into(dunnage_policy_artifact::COMPONENT).unwrap().exports;
    exports.sort();
    assert_eq!(exports, EXPORTS);
}

/// The modules inside may import what the component imports, and each other's parts (the table and
/// the functions through which calls go, named by numbers), and nothing else.
#[test]
fn its_modules_import_nothing_else() {
    let found = look_into(dunnage_policy_artifact::COMPONENT).unwrap();
    assert!(found.modules > 0);
    assert!(found.core_imports.iter().any(|(module, _)| module == FILESYSTEM));
    for (module, name) in &found.core_imports {
        let glue = module.is_empty() && (name == "$imports" || name.bytes().all(|byte| byte.is_ascii_digit()));
        assert!(glue || module == FILESYSTEM, "import of {module:?} {name:?}");
    }
}

#[test]
fn it_holds_no_path_of_the_machine() {
    let bytes = dunnage_policy_artifact::COMPONENT;
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let manifest = env!("CARGO_MANIFEST_DIR");
    let workspace = manifest.strip_suffix("/guest/artifact").unwrap_or(manifest);
    for text in [workspace, "/root/", "/home/", "/Users/", ".cargo/registry", ".rustup", "/target/"] {
        assert!(!holds(text), "{text}");
    }
    for variable in ["HOME", "CARGO_HOME", "RUSTUP_HOME"] {
        if let Ok(path) = std::env::var(variable)
            && path.len() > 1
        {
            assert!(!holds(&path), "{variable}: {path}");
        }
    }
}

/// No names and no debug information: smaller, and the same bytes everywhere.
#[test]
fn it_is_stripped() {
    let sections = look_into(dunnage_policy_artifact::COMPONENT).unwrap().custom_sections;
    assert!(!sections.iter().any(|name| name.starts_with(".debug") || name == "name"), "{sections:?}");
}

/// The guard reaches what it is asked about, and nothing else.
#[test]
fn the_guard_imports_its_types_alone() {
    let bytes = dunnage_policy_artifact::BASELINE;
    Validator::new().validate_all(bytes).unwrap();
    let found = look_into(bytes).unwrap();
    assert_eq!(found.imports, ["dunnage:guard/types@0.1.0"]);
    assert!(found.exports.iter().all(|name| ["describe", "validate-settings", "review"].contains(&&**name)));
    assert!(!found.custom_sections.iter().any(|name| name.starts_with(".debug") || name == "name"));
}
