"""Arguments as fields in groups."""


class ServerArgs:
    @staticmethod
    def add_cli_args(parser):
        add_cli_args_from_dataclass(parser, ServerArgs)
        parser.add_argument("--fast", action=DeprecatedStoreTrueAction, new_flag="--mode=fast")
