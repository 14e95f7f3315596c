import ArgumentParser
import Checkpoint
import Compute
import Container
import Evaluation
import Model
import Quantizer
import Tokenizer

/// What a failed command says and returns. The numbers are those of sysexits(3).
enum Failure {
    private static let usage = ExitCode(64)
    private static let badData = ExitCode(65)
    private static let unavailable = ExitCode(69)
    private static let software = ExitCode(70)
    private static let operatingSystem = ExitCode(71)
    private static let cannotCreate = ExitCode(73)
    private static let inputOutput = ExitCode(74)
    /// As a shell reports a process that SIGINT ended.
    private static let interrupted = ExitCode(130)

    /// Prints the error and gives the exit code to throw.
    static func report(_ error: any Error) -> ExitCode {
        Terminal.complain("error: \(error)")
        if let error = error as? ContainerError, error.code == .exists {
            Terminal.complain("with --force it would be replaced")
        }
        return switch error {
        case let error as CheckpointError: error.code == .inputOutput ? inputOutput : badData
        case let error as ContainerError:
            switch error.code {
            case .exists, .resumable, .busy: cannotCreate
            case .system: inputOutput
            default: badData
            }
        case let error as QuantizerError:
            switch error.code {
            case .outOfRange, .changed: badData
            case .badRule: usage
            case .outOfMemory: operatingSystem
            case .noSpace: cannotCreate
            case .cancelled: interrupted
            }
        case let error as ModelError: exitCode(of: error)
        case is EvaluationError, is TokenizerError: badData
        case let error as PlotError:
            switch error.code {
            case .notInstalled: unavailable
            case .nothingRecorded: badData
            case .failed: software
            case .system: inputOutput
            }
        case is ComputeError: operatingSystem
        default: software
        }
    }

    private static func exitCode(of error: ModelError) -> ExitCode {
        switch error.code {
        case .invalidOption: usage
        case .insufficientMemory, .outOfMemory, .cacheFull: unavailable
        case .unreadableTensor, .unreadableExpert, .slowExpert: inputOutput
        case .unsupported, .invalidToken, .contextExceeded: badData
        case .cancelled: interrupted
        }
    }
}
