//! Real containers, run by containerd's shim and runc. All of it takes root.

mod crash;
mod interchange;
mod methods;
mod run;
mod shim;
