//! Socket activation: the process that started this one passes it a socket that already listens
//! (`sd_listen_fds(3)`), and keeps that open from one process to the next.

use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::SockRef;

/// The socket that was passed to this process, if one was. `listen` is the address in the
/// options.
///
/// This removes the variables from the environment, so no other thread may be running yet.
pub(crate) fn listener(listen: Option<SocketAddr>) -> Result<Option<TcpListener>, String> {
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => return Ok(None),
        1 => {}
        many => {
            return Err(format!(
                "{many} sockets were passed to this process, which takes one; leave one \
                 ListenStream= in the socket unit"
            ));
        }
    }
    let listener = passed.take_tcp_listener(0).ok().flatten();
    let Some(listener) =
        listener.filter(|listener| SockRef::from(listener).is_listener().unwrap_or(false))
    else {
        return Err("the socket that was passed to this process is not a TCP socket that \
                    listens; the socket unit needs ListenStream=IP:PORT and Accept=no"
            .into());
    };
    let address = listener.local_addr().map_err(|error| {
        format!("the socket that was passed to this process has no address: {error}")
    })?;
    match listen {
        Some(other) if other != address => Err(format!(
            "--listen {other} (HEADCOUNT_LISTEN) contradicts the socket that was passed to this \
             process, which listens on {address}; leave out --listen, or stop the socket unit"
        )),
        _ => Ok(Some(listener)),
    }
}
