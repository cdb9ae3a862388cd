//! The guest's side of the contract in `wit/`.

wit_bindgen::generate!({
    path: "../wit",
    world: "policy",
    pub_export_macro: true,
    generate_all,
});
