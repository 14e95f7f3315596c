import Foundation
import Glibc
import TestSupport

/// The built `moed`, as its own process.
final class MoedProcess: @unchecked Sendable {
    // Sendable: everything is set before the process starts, and Process may be asked from any thread.

    /// Beside the test bundle in the build directory.
    static let binary = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        .appendingPathComponent("moed").path

    private let process = Process()
    private let output = Pipe()
    let start = ContinuousClock.now

    /// - Parameters:
    ///   - launcher: A program, with its arguments, that starts `program`.
    ///   - program: What gets the arguments.
    init(
        _ arguments: [String], environment: [String: String] = [:], launcher: [String] = [],
        program: String = MoedProcess.binary
    ) throws {
        let command = launcher + [program] + arguments
        process.executableURL = URL(fileURLWithPath: command[0])
        process.arguments = Array(command.dropFirst())
        var variables = ["PATH": "/usr/bin:/bin", "HOME": "/tmp"]
        for name in ["LD_LIBRARY_PATH"] { variables[name] = ProcessInfo.processInfo.environment[name] }
        process.environment = variables.merging(environment) { $1 }
        process.standardError = output
        process.standardOutput = output
        try process.run()
    }

    deinit {
        if process.isRunning { Glibc.kill(process.processIdentifier, SIGKILL) }
    }

    var identifier: Int32 { process.processIdentifier }

    func signal(_ number: Int32) { Glibc.kill(process.processIdentifier, number) }

    struct Ending: Sendable {
        var status: Int32
        var isKilled: Bool
        var text: String
    }

    /// Waits for the end.
    func ending(within time: Duration = .seconds(20)) async throws -> Ending {
        let deadline = ContinuousClock.now + time
        while process.isRunning {
            guard ContinuousClock.now < deadline else {
                Glibc.kill(process.processIdentifier, SIGKILL)
                throw RawConnection.TimedOut()
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        let data = try await RawConnection.blocking { [output] in try output.fileHandleForReading.readToEnd() ?? Data()
        }
        return Ending(
            status: process.terminationStatus, isKilled: process.terminationReason == .uncaughtSignal,
            text: String(decoding: data, as: UTF8.self))
    }

    /// Connects as soon as somebody listens.
    func connect(_ path: String, within time: Duration = .seconds(20)) async throws -> RawConnection {
        let deadline = ContinuousClock.now + time
        while true {
            do {
                return try await RawConnection.blocking { try RawConnection(path) }
            } catch {
                guard ContinuousClock.now < deadline, process.isRunning else { throw error }
                try await Task.sleep(for: .milliseconds(10))
            }
        }
    }
}

/// What systemd's side of sd_notify hears.
final class NotifySocket: Sendable {
    let path: String
    private let descriptor: Int32

    init(_ path: String) throws {
        self.path = path
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let result = withUnsafePointer(to: address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else { throw SystemCallFailure(call: "bind", code: errno) }
    }

    deinit { close(descriptor) }

    /// The next message; nil if none comes in time.
    func next(within time: Duration) async throws -> String? {
        let descriptor = descriptor
        return try await RawConnection.blocking {
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, Int32(time / .milliseconds(1))) > 0 else { return nil }
            return withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 1) { buffer in
                let count = recv(descriptor, buffer.baseAddress, buffer.count, 0)
                return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
            }
        }
    }

    /// The messages up to the one that has `text` in it.
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
}
