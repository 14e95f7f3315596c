import Glibc
import Serving
import TestSupport
import Testing

@Suite("The socket file")
struct SocketListenerTests {
    private func bind(
        _ path: String, mode: UInt32 = 0o600, group: String? = nil
    ) throws -> SocketListener {
        try SocketListener.bind(path: path, mode: mode, group: group, backlog: 8)
    }

    private func code(_ body: () throws -> Void) -> ServingError.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? ServingError)?.code
        }
    }

    @Test(
        "has the mode that was asked for, whatever the umask, and goes when the daemon does",
        arguments: [0o600, 0o660, 0o666])
    func mode(mode: UInt32) throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/sub/moed.sock"
        let listener = try bind(path, mode: mode)
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_mode & 0o777 == mode)
        #expect(status.st_mode & S_IFMT == S_IFSOCK)
        Glibc.close(listener.takeDescriptor())
        listener.close()
        #expect(stat(path, &status) != 0)
    }

    @Test("has the group that was asked for")
    func group() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/moed.sock"
        let listener = try bind(path, group: "\(getegid())")
        var status = stat()
        #expect(stat(path, &status) == 0)
        #expect(status.st_gid == getegid())
        Glibc.close(listener.takeDescriptor())
        listener.close()
        #expect(code { _ = try bind(path, group: "no-such-group-here") } == .badName)
    }

    @Test("that a dead daemon left is replaced")
    func stale() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/moed.sock"
        let dead = try bind(path)
        // A killed process closes its descriptors and leaves the file.
        let second = "\(directory.path)/kept.sock"
        #expect(link(path, second) == 0)
        Glibc.close(dead.takeDescriptor())
        dead.close()
        #expect(rename(second, path) == 0)
        let listener = try bind(path)
        let connection = try RawConnection(path)
        withExtendedLifetime(connection) {}
        Glibc.close(listener.takeDescriptor())
        listener.close()
    }

    @Test("that a live daemon listens on is left alone, with a lock or without")
    func live() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/moed.sock"
        let listener = try bind(path)
        #expect(code { _ = try bind(path) } == .socketInUse)
        #expect(unlink(path + ".lock") == 0)
        #expect(code { _ = try bind(path) } == .socketInUse)
        _ = try RawConnection(path)
        Glibc.close(listener.takeDescriptor())
        listener.close()
    }

    @Test("isn't put where something else stands, or where no path can be")
    func refused() throws {
        let directory = try TemporaryDirectory()
        let path = "\(directory.path)/moed.sock"
        let file = open(path, O_CREAT | O_WRONLY, 0o600)
        close(file)
        #expect(code { _ = try bind(path) } == .notASocket)
        #expect(access(path, F_OK) == 0)
        let long = "\(directory.path)/\(String(repeating: "a", count: 120))"
        #expect(code { _ = try bind(long) } == .badName)
        #expect(code { _ = try bind("") } == .badName)
        #expect(code { _ = try bind("\(directory.path)/a/b/c/moed.sock") } == .system)
    }
}
