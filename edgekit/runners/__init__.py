"""Whatever measures or predicts: the protocol, the workers and the engines behind them."""
