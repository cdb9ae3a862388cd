//! Real containers, run by containerd's shim and runc. All of it takes root.

mod confinement;
mod crash;
mod daily;
mod ending;
mod generations;
mod guards;
mod input;
mod interchange;
mod kept;
mod methods;
mod monitor;
mod mute;
mod opt;
mod recover;
mod run;
mod shim;
mod states;
