//! Descriptors beside the bytes of a message: `SCM_RIGHTS` of unix(7).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};

use crate::retry;

/// The most descriptors that go with one message.
pub const MAX_DESCRIPTORS: usize = 3;

/// A message that was received.
#[derive(Debug)]
pub struct Message {
    /// How many bytes of the buffer it has.
    pub bytes: usize,
    /// What came with it.
    pub descriptors: Vec<OwnedFd>,
    /// Whether there was more, of bytes or of descriptors, than there was room for.
    pub is_cut: bool,
}

/// Two sockets that are connected, and that keep messages apart.
pub fn message_pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

/// Sends one message with at most [`MAX_DESCRIPTORS`] descriptors, whole or not at all. If the other
/// side is gone that is `EPIPE`, and not a signal that ends us.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::INVAL);
    }
    let sent = retry(|| sendmsg(&socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL))?;
    if sent == bytes.len() { Ok(()) } else { Err(Errno::MSGSIZE) }
}

/// Receives one message into a buffer. The kernel closes descriptors that there is no room for.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> rustix::io::Result<Message> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = retry(|| recvmsg(&socket, &mut [IoSliceMut::new(buffer)], &mut control, flags))?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            descriptors.extend(received);
        }
    }
    let is_cut = received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC);
    Ok(Message { bytes: received.bytes, descriptors, is_cut })
}

/// Says that nothing more will be sent.
pub fn end_sending(socket: impl AsFd) {
    let _ = shutdown(socket, Shutdown::Write);
}
