import Container
import Glibc

/// Draws relative error by layer and kind of matrix, with gnuplot where that is installed.
struct LossPlot {
    enum Format: String, CaseIterable {
        case png
        case svg

        var terminal: String { self == .png ? "pngcairo" : "svg" }
    }

    private let script: String

    /// - Parameter losses: at least one.
    init(_ losses: [RecordedLoss], title: String, format: Format) {
        let kinds = Set(losses.map(\.kind)).sorted()
        let lastLayer = losses.compactMap(\.layer).max() ?? 0
        let step = lastLayer / 20 + 1
        var lines = [
            "set terminal \(format.terminal) size 1200,700 noenhanced background '#ffffff'",
            "set title '\(Self.plain(title))'", "set xlabel 'layer'", "set ylabel 'relative error, %'",
            "set yrange [0:*]", "set grid", "set key outside right noenhanced", "set xtics 0,\(step)",
            "set xtics add ('model' -1)", "set xrange [-1.5:\(lastLayer).5]",
        ]
        for (index, kind) in kinds.enumerated() {
            lines.append("$kind\(index) << EOD")
            for loss in losses where loss.kind == kind {
                lines.append("\(loss.layer ?? -1) \(loss.relativeError * 100)")
            }
            lines.append("EOD")
        }
        let series = kinds.indices.map { index in
            "$kind\(index) using 1:2 with linespoints linetype \(index % 8 + 1) dashtype \(index / 8 + 1)"
                + " linewidth 1.5 pointtype \(index % 13 + 1)"
                + " title '\(kinds[index])'"
        }
        lines.append("plot " + series.joined(separator: ", "))
        script = lines.joined(separator: "\n") + "\n"
    }

    /// What neither ends a gnuplot string nor a line.
    private static func plain(_ text: String) -> String {
        String(text.unicodeScalars.map { $0.value < 0x20 || $0 == "'" || $0 == "\\" ? " " : Character($0) })
    }

    /// Makes or replaces the file, which has its name only once it is complete.
    ///
    /// gnuplot is run by posix_spawnp(3), without a shell: the script is its input, the file its output.
    func write(to path: String) throws(PlotError) {
        guard let input = tmpfile() else { throw PlotError.system("tmpfile", errno) }
        defer { fclose(input) }
        let bytes = Array(script.utf8)
        guard fwrite(bytes, 1, bytes.count, input) == bytes.count, fflush(input) == 0 else {
            throw PlotError.system("write of the script", errno)
        }
        rewind(input)
        let partial = path + ".partial"
        let output = open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard output >= 0 else { throw PlotError.system("open of \(partial)", errno) }
        defer {
            close(output)
            unlink(partial)
        }
        try run(input: fileno(input), output: output)
        guard fsync(output) == 0, rename(partial, path) == 0 else { throw PlotError.system("rename to \(path)", errno) }
    }

    private func run(input: CInt, output: CInt) throws(PlotError) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("gnuplot"), strdup("-"), nil]
        defer { for argument in arguments { free(argument) } }
        var process = pid_t()
        let failure = posix_spawnp(&process, "gnuplot", &actions, nil, &arguments, environ)
        guard failure != ENOENT else { throw PlotError.notInstalled }
        guard failure == 0 else { throw PlotError.system("posix_spawnp of gnuplot", failure) }
        var status: CInt = 0
        while waitpid(process, &status, 0) < 0 {
            if errno != EINTR { throw PlotError.system("waitpid", errno) }
        }
        guard status == 0 else { throw PlotError.failed(status: status) }
    }
}

/// Why nothing was drawn.
struct PlotError: Error, CustomStringConvertible {
    enum Code {
        case notInstalled
        /// The container says nothing of what it lost.
        case nothingRecorded
        case failed
        case system
    }

    let code: Code
    let description: String

    static let notInstalled = PlotError(
        code: .notInstalled,
        description: "gnuplot, which draws, isn't installed. On Debian: apt-get install gnuplot-nox")

    static func nothingRecorded(_ path: String) -> PlotError {
        PlotError(
            code: .nothingRecorded,
            description: "\(path) has no errors to draw: its weights weren't quantised, or an earlier version made it")
    }

    static func failed(status: CInt) -> PlotError {
        PlotError(code: .failed, description: "gnuplot failed (wait status \(status)); what it said stands above")
    }

    static func system(_ call: String, _ code: CInt) -> PlotError {
        PlotError(code: .system, description: "\(call): \(String(cString: strerror(code))) (errno \(code))")
    }
}
