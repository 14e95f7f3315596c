import Checkpoint
import Compute
import Container
import ExpertPaging
import Generation
import Glibc
import Model
import Serving
import Tokenizer

/// Which exit code (sysexits.h) an error stands for.
enum ExitStatus {
    static func of(_ error: any Error) -> Int32 {
        switch error {
        case let error as ContainerError:
            error.code == .system ? (error.errno == ENOENT ? EX_NOINPUT : EX_IOERR) : EX_DATAERR
        case let error as CheckpointError:
            error.code == .inputOutput ? EX_IOERR : EX_DATAERR
        case is PagingError:
            EX_IOERR
        case let error as ModelError:
            of(error)
        case is TokenizerError, is UnservableModel, is RoutingTraceError:
            EX_DATAERR
        case is ComputeError, is SettingError:
            EX_USAGE
        case let error as ServingError:
            of(error)
        default:
            EX_SOFTWARE
        }
    }

    private static func of(_ error: ModelError) -> Int32 {
        switch error.code {
        case .invalidOption: EX_USAGE
        case .insufficientMemory, .outOfMemory: EX_UNAVAILABLE
        case .unreadableTensor, .unreadableExpert, .slowExpert: EX_IOERR
        case .unsupported, .invalidToken, .contextExceeded: EX_DATAERR
        case .cancelled, .cacheFull: EX_SOFTWARE
        }
    }

    private static func of(_ error: ServingError) -> Int32 {
        switch error.code {
        case .badName: EX_USAGE
        case .socketInUse, .notASocket, .badInheritance: EX_UNAVAILABLE
        case .system: EX_OSERR
        }
    }
}
