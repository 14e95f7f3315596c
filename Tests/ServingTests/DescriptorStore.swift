import Glibc
import Synchronization
import TestSupport

/// systemd's side of sd_notify and of its file-descriptor store: keeps what it is sent, and hands it to the next daemon.
final class DescriptorStore: Sendable {
    let path: String
    private let socket: Int32
    private let held = Mutex<[Int32]>([])

    init(_ path: String) throws {
        self.path = path
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw SystemCallFailure(call: "bind", code: errno) }
    }

    deinit {
        for descriptor in descriptors { close(descriptor) }
        close(socket)
    }

    var descriptors: [Int32] { held.withLock { $0 } }

    /// Holds one that nobody sent.
    func hold(_ descriptor: Int32) { held.withLock { $0.append(descriptor) } }

    /// What a daemon needs to be started with: a launcher that hands over what is held, as systemd does.
    var launcher: [String] {
        let descriptors = descriptors
        var script = "export NOTIFY_SOCKET=\(path) LISTEN_FDS=\(descriptors.count) LISTEN_PID=$$ "
        script += "LISTEN_FDNAMES=" + descriptors.map { _ in "weights" }.joined(separator: ":") + "; "
        for (index, descriptor) in descriptors.enumerated() {
            script += "exec \(index + 3)<>/proc/\(getpid())/fd/\(descriptor); "
        }
        if descriptors.isEmpty { script += "unset LISTEN_FDS LISTEN_PID LISTEN_FDNAMES; " }
        return ["/bin/sh", "-c", script + #"exec "$0" "$@""#]
    }

    /// Takes messages until one has `text` in it, and does what they say.
    @discardableResult
    func messages(until text: String, within time: Duration = .seconds(20)) async throws -> [String] {
        let deadline = ContinuousClock.now + time
        var messages: [String] = []
        while ContinuousClock.now < deadline {
            guard let message = try await next(within: deadline - .now) else { break }
            messages.append(message)
            if message.contains(text) { return messages }
        }
        throw RawConnection.TimedOut()
    }

    /// Takes what has come already.
    func drain() async throws { while try await next(within: .milliseconds(1)) != nil {} }

    private func next(within time: Duration) async throws -> String? {
        try await RawConnection.blocking { [self] in
            var poll = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, Int32(max(1, time / .milliseconds(1)))) > 0 else { return nil }
            let (text, received) = receive()
            held.withLock { held in
                if text.contains("FDSTOREREMOVE=1") {
                    for descriptor in held { close(descriptor) }
                    held = []
                }
                if text.contains("FDSTORE=1"), text.contains("FDNAME=weights") {
                    held += received
                } else {
                    for descriptor in received { close(descriptor) }
                }
            }
            return text
        }
    }

    /// recvmsg(2) with the descriptors of one SCM_RIGHTS message.
    private func receive() -> (String, [Int32]) {
        withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 8) { data in
            withUnsafeTemporaryAllocation(byteCount: 256, alignment: 8) { control in
                var part = iovec(iov_base: data.baseAddress, iov_len: data.count)
                return withUnsafeMutablePointer(to: &part) { part in
                    var message = msghdr()
                    message.msg_iov = part
                    message.msg_iovlen = 1
                    message.msg_control = control.baseAddress
                    message.msg_controllen = control.count
                    let count = recvmsg(socket, &message, 0)
                    let text = String(decoding: data.prefix(max(0, count)), as: UTF8.self)
                    // A header of 16 bytes: length, level, type.
                    guard message.msg_controllen >= 20 else { return (text, []) }
                    let length = control.load(as: Int.self)
                    let descriptors = stride(from: 16, to: length, by: 4).map {
                        control.load(fromByteOffset: $0, as: Int32.self)
                    }
                    return (text, descriptors)
                }
            }
        }
    }
}
