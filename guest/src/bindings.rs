//! The guest's side of the contract in `wit/`.

wit_bindgen::generate!({
    path: "../wit",
    world: "policy-with-tasks",
    pub_export_macro: true,
    generate_all,
});
