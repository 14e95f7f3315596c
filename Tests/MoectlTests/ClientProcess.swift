import Glibc
import TestSupport

/// The real `moectl`, run on a pseudo-terminal or between pipes.
final class ClientProcess {
    private let process: pid_t
    // Macros that Swift doesn't see: TIOCSPTLCK, TIOCGPTN and POSIX_SPAWN_SETSID.
    private static let setLock: UInt = 0x4004_5431
    private static let getNumber: UInt = 0x8004_5430
    private static let newSession: Int16 = 0x80

    /// What the test types, and (on a terminal) what it sees.
    private var input: Int32
    private let output: Int32
    private let errors: Int32
    private(set) var shown = ""
    /// What was shown after the last text that was waited for.
    private var unread = ""

    /// On a terminal of its own, 80 columns wide, as its foreground process.
    static func onTerminal(_ arguments: [String], environment: [String: String] = [:]) throws -> ClientProcess {
        let controller = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        var number: Int32 = 0
        var isLocked: Int32 = 0
        guard controller >= 0, ioctl(controller, Self.setLock, &isLocked) == 0,
            ioctl(controller, Self.getNumber, &number) == 0
        else { throw SystemCallFailure(call: "open(/dev/ptmx)", code: errno) }
        let name = "/dev/pts/\(number)"
        var size = winsize(ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0)
        _ = ioctl(controller, UInt(TIOCSWINSZ), &size)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // The first terminal that the leader of a new session opens becomes its controlling terminal.
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, STDIN_FILENO, STDERR_FILENO)
        let environment = environment.merging(["TERM": "xterm"]) { given, _ in given }
        let process = try spawn(arguments, environment, &actions, flags: Self.newSession)
        return ClientProcess(process: process, input: controller, output: controller, errors: -1)
    }

    static func betweenPipes(_ arguments: [String], environment: [String: String] = [:]) throws -> ClientProcess {
        var ends = [Int32](repeating: -1, count: 6)
        for pair in 0..<3 {
            // Sockets, since a pipe can't be had here that other tests' processes don't inherit.
            let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
            let made = ends.withUnsafeMutableBufferPointer {
                socketpair(AF_UNIX, kind, 0, $0.baseAddress?.advanced(by: 2 * pair))
            }
            guard made == 0 else { throw SystemCallFailure(call: "socketpair", code: errno) }
        }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, ends[0], STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, ends[3], STDOUT_FILENO)
        posix_spawn_file_actions_adddup2(&actions, ends[5], STDERR_FILENO)
        let process = try spawn(arguments, environment, &actions, flags: 0)
        for end in [ends[0], ends[3], ends[5]] { close(end) }
        return ClientProcess(process: process, input: ends[1], output: ends[2], errors: ends[4])
    }

    private init(process: pid_t, input: Int32, output: Int32, errors: Int32) {
        self.process = process
        self.input = input
        self.output = output
        self.errors = errors
    }

    deinit {
        kill(process, SIGKILL)
        for descriptor in Set([input, output, errors]) where descriptor >= 0 { close(descriptor) }
    }

    func type(_ text: String) {
        let bytes = Array(text.utf8)
        _ = write(input, bytes, bytes.count)
    }

    func closeInput() {
        close(input)
        input = -1
    }

    /// Reads until the text appears after the one that was waited for before; false when it doesn't within ten seconds.
    func waits(for text: String) -> Bool {
        let deadline = ContinuousClock.now + .seconds(10)
        while true {
            if let found = unread.firstRange(of: text) {
                unread = String(unread[found.upperBound...])
                return true
            }
            guard ContinuousClock.now < deadline, let piece = readPiece(output) else { return false }
            shown += piece
            unread += piece
        }
    }

    /// Reads everything that is left, and waits for the end.
    func finish() -> (status: Int32, output: String, errors: String) {
        while let piece = readPiece(output) { shown += piece }
        var complaints = ""
        while errors >= 0, let piece = readPiece(errors) { complaints += piece }
        var status: Int32 = 0
        // One that hangs is killed, and its status says so.
        let deadline = ContinuousClock.now + .seconds(5)
        while waitpid(process, &status, WNOHANG) == 0 {
            if ContinuousClock.now > deadline { kill(process, SIGKILL) }
            usleep(2000)
        }
        return (status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F), shown, complaints)
    }

    private func readPiece(_ descriptor: Int32) -> String? {
        var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&waiting, 1, 10_000) > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = read(descriptor, &buffer, buffer.count)
        return count > 0 ? String(decoding: buffer.prefix(count), as: UTF8.self) : nil
    }

    private static func spawn(
        _ arguments: [String], _ environment: [String: String], _ actions: inout posix_spawn_file_actions_t,
        flags: Int16
    ) throws -> pid_t {
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, flags)
        let path = BuiltProducts.path("moectl")
        var argv = ([path] + arguments).map { strdup($0) } + [nil]
        var variables = environment
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let value = getenv(name) { variables[name] = String(cString: value) }
        }
        var envp = variables.map { strdup("\($0)=\($1)") } + [nil]
        defer { for string in argv + envp { free(string) } }
        var process: pid_t = 0
        let code = posix_spawn(&process, path, &actions, &attributes, &argv, &envp)
        guard code == 0 else { throw SystemCallFailure(call: "posix_spawn", code: code) }
        return process
    }
}
