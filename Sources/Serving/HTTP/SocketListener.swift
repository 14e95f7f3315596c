import CSystemd
import Glibc

/// The Unix socket that the daemon listens on: its own, or one that systemd holds.
///
/// The descriptor is given to the server with `takeDescriptor()`. A socket of the daemon's own is removed by `close()`;
/// systemd's stays, so that clients wait in its backlog while the daemon restarts.
package final class SocketListener: Sendable {
    package let path: String
    package let isInherited: Bool
    private let descriptor: Int32
    /// Held for as long as the daemon owns the path; -1 for an inherited socket.
    private let lock: Int32
    private let inode: ino_t

    private init(path: String, isInherited: Bool, descriptor: Int32, lock: Int32, inode: ino_t) {
        self.path = path
        self.isInherited = isInherited
        self.descriptor = descriptor
        self.lock = lock
        self.inode = inode
    }

    /// The socket that systemd handed over, nil when it handed over none.
    package static func inherited(_ sockets: [Int32]) throws(ServingError) -> SocketListener? {
        guard let descriptor = sockets.first else { return nil }
        guard sockets.count == 1 else {
            throw ServingError(
                .badInheritance,
                "systemd handed over \(sockets.count) sockets, expected 1: give moed.socket one ListenStream=")
        }
        guard sd_is_socket_unix(descriptor, SOCK_STREAM_TYPE, 1, nil, 0) > 0 else {
            throw ServingError(
                .badInheritance,
                "the descriptor that systemd handed over isn't a listening AF_UNIX stream socket: "
                    + "ListenStream= must be a path")
        }
        return SocketListener(
            path: localPath(of: descriptor), isInherited: true, descriptor: descriptor, lock: -1, inode: 0)
    }

    /// Binds and listens. A socket file left behind by a dead daemon is replaced, a live daemon's is not.
    ///
    /// Clients that connect from now on wait until the server accepts.
    package static func bind(
        path: String, mode: UInt32, group: String?, backlog: Int
    ) throws(ServingError) -> SocketListener {
        let address = try SocketAddress(path: path)
        let groupID = try group.map { name throws(ServingError) in try identifier(ofGroup: name) }
        makeParentDirectory(of: path)
        let lock = try acquireLock(path: path)
        do throws(ServingError) {
            try removeStaleSocket(address)
            let (descriptor, inode) = try listen(address, mode: mode, group: groupID, backlog: backlog)
            return SocketListener(path: path, isInherited: false, descriptor: descriptor, lock: lock, inode: inode)
        } catch {
            Glibc.close(lock)
            throw error
        }
    }

    /// A connection to a stream socket of somebody else's, whose reads don't block.
    static func connect(path: String) throws(ServingError) -> Int32 {
        let address = try SocketAddress(path: path)
        let descriptor = socket(AF_UNIX, SOCK_STREAM_TYPE | SOCK_CLOEXEC_FLAG, 0)
        guard descriptor >= 0 else { throw failure("socket", errno) }
        guard address.withPointer({ Glibc.connect(descriptor, $0, $1) }) == 0,
            fcntl(descriptor, F_SETFL, O_NONBLOCK) == 0
        else {
            let code = errno
            Glibc.close(descriptor)
            throw failure("\(path): can't be connected to", code)
        }
        return descriptor
    }

    /// Whoever calls this owns the descriptor and closes it.
    package func takeDescriptor() -> Int32 { descriptor }

    /// Removes the socket file, if it is still the daemon's own, and lets another daemon have its place.
    package func close() {
        guard !isInherited else { return }
        var status = stat()
        if lstat(path, &status) == 0, status.st_ino == inode { unlink(path) }
        Glibc.close(lock)
    }
}

private let SOCK_STREAM_TYPE = Int32(SOCK_STREAM.rawValue)

extension SocketListener {
    /// The lock says who owns the path; it also covers the moment between looking at a stale socket and replacing it.
    private static func acquireLock(path: String) throws(ServingError) -> Int32 {
        let lockPath = path + ".lock"
        let lock = open(lockPath, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else { throw failure("\(lockPath): can't be opened", errno) }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            Glibc.close(lock)
            guard code == EWOULDBLOCK else { throw failure("\(lockPath): can't be locked", code) }
            throw inUse(path)
        }
        return lock
    }

    private static func removeStaleSocket(_ address: SocketAddress) throws(ServingError) {
        var status = stat()
        guard lstat(address.path, &status) == 0 else {
            guard errno == ENOENT else { throw failure("\(address.path): can't be looked at", errno) }
            return
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw ServingError(.notASocket, "\(address.path): is there already and isn't a socket; choose another path")
        }
        let probe = socket(AF_UNIX, SOCK_STREAM_TYPE | SOCK_NONBLOCK_FLAG | SOCK_CLOEXEC_FLAG, 0)
        guard probe >= 0 else { throw failure("socket", errno) }
        defer { Glibc.close(probe) }
        let result = address.withPointer { Glibc.connect(probe, $0, $1) }
        // Only a refusal proves that nobody listens: a full backlog, for one, is a live daemon's.
        guard result != 0, errno == ECONNREFUSED || errno == ENOENT else { throw inUse(address.path) }
        guard unlink(address.path) == 0 || errno == ENOENT else {
            throw failure("\(address.path): the stale socket can't be removed", errno)
        }
    }

    private static func listen(
        _ address: SocketAddress, mode: mode_t, group: gid_t?, backlog: Int
    ) throws(ServingError) -> (descriptor: Int32, inode: ino_t) {
        let descriptor = socket(AF_UNIX, SOCK_STREAM_TYPE | SOCK_CLOEXEC_FLAG, 0)
        guard descriptor >= 0 else { throw failure("socket", errno) }
        do throws(ServingError) {
            guard address.withPointer({ Glibc.bind(descriptor, $0, $1) }) == 0 else {
                throw failure("\(address.path): can't be bound", errno)
            }
            // Nobody can connect before listen(), so mode and group are right before the first client.
            if let group, lchown(address.path, uid_t.max, group) != 0 {
                throw failure("\(address.path): the group can't be changed to \(group)", errno)
            }
            guard chmod(address.path, mode) == 0 else { throw failure("\(address.path): chmod", errno) }
            guard Glibc.listen(descriptor, Int32(clamping: backlog)) == 0 else {
                throw failure("\(address.path): listen", errno)
            }
            var status = stat()
            guard lstat(address.path, &status) == 0 else { throw failure("\(address.path): lstat", errno) }
            return (descriptor, status.st_ino)
        } catch {
            Glibc.close(descriptor)
            throw error
        }
    }

    private static func makeParentDirectory(of path: String) {
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return }
        // The lock file says what is wrong if this didn't work.
        _ = mkdir(String(path[..<slash]), 0o755)
    }

    private static func identifier(ofGroup name: String) throws(ServingError) -> gid_t {
        if let number = gid_t(name) { return number }
        guard let entry = getgrnam(name) else {
            throw ServingError(.badName, "--socket-group: there is no group named \(name)")
        }
        return entry.pointee.gr_gid
    }

    private static func localPath(of descriptor: Int32) -> String {
        var address = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0 else { return "" }
        return withUnsafeBytes(of: &address.sun_path) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func inUse(_ path: String) -> ServingError {
        ServingError(.socketInUse, "\(path): another daemon listens here; stop it, or choose another --socket")
    }

    private static func failure(_ what: String, _ code: Int32) -> ServingError {
        ServingError(.system, "\(what): \(describe(errno: code))")
    }
}

private let SOCK_NONBLOCK_FLAG = Int32(SOCK_NONBLOCK.rawValue)
private let SOCK_CLOEXEC_FLAG = Int32(SOCK_CLOEXEC.rawValue)

/// A path that fits into `sockaddr_un`.
private struct SocketAddress {
    let path: String
    private var storage = sockaddr_un()

    init(path: String) throws(ServingError) {
        self.path = path
        storage.sun_family = sa_family_t(AF_UNIX)
        let capacity = MemoryLayout.size(ofValue: storage.sun_path) - 1
        let bytes = Array(path.utf8)
        guard !bytes.isEmpty, bytes.count <= capacity, !bytes.contains(0) else {
            throw ServingError(
                .badName, "--socket \(path): a socket's path has 1 to \(capacity) bytes, this one has \(bytes.count)")
        }
        withUnsafeMutableBytes(of: &storage.sun_path) { $0.copyBytes(from: bytes) }
    }

    func withPointer(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

/// strerror, without its shared buffer.
func describe(errno code: Int32) -> String {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
        guard let base = buffer.baseAddress, strerror_r(code, base, buffer.count) == 0 else {
            return "error \(code)"
        }
        return String(cString: base)
    }
}
